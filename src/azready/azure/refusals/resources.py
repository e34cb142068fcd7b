"""Names, guests, policies, and what is in use or busy."""

from azready.azure.refusals.row import AGAIN, HOME, REFUSED, Advice

_OPEN = "the disk is still open for an upload or a download"
_CLOSE = "run the same publish again: it finishes the upload; or close it: `az disk revoke-access --ids ID`"

RESOURCES: tuple[Advice, ...] = (
    # Names and values
    Advice(
        REFUSED,
        "stop",
        "the name of the image makes a host name that Azure does not take",
        "choose a --name of letters, digits and hyphens",
        r"(?i)host name cannot|computer ?name",
    ),
    Advice(
        ("InvalidParameter", "BadRequest", "DisallowedUsername"),
        "stop",
        "Azure does not take this user name",
        "choose another --admin-username",
        r"(?i)admin ?user ?name",
    ),
    Advice(
        ("InvalidParameter", "BadRequest"),
        "stop",
        "Azure does not take this ssh key",
        "give an RSA key of 2048 bits and more, or an Ed25519 one, with --ssh-key",
        r"(?i)keyData|ssh public key",
    ),
    # The guest
    Advice(
        ("OperationNotAllowed",),
        "stop",
        "the VM is generalized and can never start again",
        "take the image from it, or remove it; a new VM comes from the image",
        r"generalized",
    ),
    Advice(
        ("OSProvisioningTimedOut",),
        "stop",
        "the guest never reported Ready",
        f"the VM is kept and may be reachable: {HOME}. Trying again here will not help",
    ),
    Advice(
        ("OSProvisioningClientError", "OSProvisioningInternalError"),
        "stop",
        "the guest reported that provisioning failed, or the image was not generalized",
        HOME,
    ),
    Advice(
        (
            "VMExtensionProvisioningError",
            "VMExtensionProvisioningTimeout",
            "VMExtensionHandlerNonTransientError",
            "VMAgentStatusCommunicationError",
        ),
        "stop",
        "something adds an extension to a VM that has no agent; it cannot answer",
        "exempt the VM from the policy that adds it, or install an agent in the image",
    ),
    # Rules of the organisation
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation wants a tag",
        "give it with --tags KEY=VALUE: azready puts it on everything that it makes, the group too",
        r"(?i)\btags?\b",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation forbids public addresses",
        "use a network that exists: --subnet ID and --no-public-ip (ssh then goes by your own ssh configuration)",
        r"(?i)public ?ip|public address",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation allows other regions only",
        "choose another --location (and --target-regions); Azure's words name the policy, its owner knows which",
        r"(?i)\b(locations?|regions?)\b",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation allows other VM sizes only",
        "choose another --size; Azure's words name the policy, its owner knows which",
        r"(?i)\b(vms?|virtual machines?)\b.{0,20}\b(sizes?|skus?)\b",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation wants disks encrypted with a key of its own",
        "give --disk-encryption-set ID, and --target-region-encryption REGION=ID for each further region",
        r"(?i)customer.managed key|disk encryption set|\bCMK\b",
    ),
    Advice(
        ("RequestDisallowedByPolicy",),
        "stop",
        "a policy of the organisation forbids it",
        "Azure's words name the policy: ask its owner for an exemption, or use another resource group",
    ),
    Advice(
        ("ScopeLocked",),
        "stop",
        "a lock keeps it from being changed or removed",
        "`az lock list --resource-group GROUP --output table` shows the lock, `az lock delete --ids ID` removes it; "
        "then run the same command again, or remove what is left with the lines below",
    ),
    Advice(
        ("KeyVaultAccessForbidden", "KeyVaultKeyNotFound", "KeyVaultSecretNotFound", "KeyVaultAccessDenied"),
        "stop",
        "the disk encryption set cannot use its key",
        "let its identity get, wrap and unwrap the key: az role assignment create --role 'Key Vault Crypto Service "
        "Encryption User' --assignee IDENTITY_OF_THE_SET --scope KEY_VAULT",
    ),
    Advice(
        REFUSED,
        "stop",
        "what is made of a disk with a key of yours needs the same key",
        "give the disk encryption set of the source with --disk-encryption-set",
        r"(?i)disk ?encryption ?set",
    ),
    # What is there already, what is in use
    Advice(
        ("StorageAccountAlreadyTaken", "DnsRecordInUse", "PropertyChangeNotAllowed"),
        "stop",
        "the name is taken, or what it names cannot be changed",
        "choose another name, or remove what is there",
    ),
    Advice(
        (
            "NicInUse",
            "InUseSubnetCannotBeDeleted",
            "InUseNetworkSecurityGroupCannotBeDeleted",
            "PublicIPAddressInUse",
            "PublicIPAddressCannotBeDeleted",
            "CannotDeleteResource",
        ),
        "stop",
        "something else uses it",
        "Azure's words name what: remove that first, then run the same command again",
    ),
    Advice(
        ("NicReservedForAnotherVm",),
        "wait",
        "Azure keeps the interface for 180 seconds after a VM that could not be made",
        "run the same command again in three minutes: it goes on where it stopped",
    ),
    Advice(
        ("ResourceGroupBeingDeleted",),
        "wait",
        "the resource group is being deleted",
        "wait until it is gone, or use another --resource-group; then run the same command again",
    ),
    Advice(
        (
            "OperationPreempted",
            "RetryableError",
            "RetryableErrorDueToAnotherOperation",
            "AnotherOperationInProgress",
            "ReferencedResourceNotProvisioned",
            "ResourceNotReady",
        ),
        "wait",
        "Azure is busy with another operation on it",
        AGAIN,
    ),
    Advice(
        (
            "TooManyRequests",
            "ResourceCollectionRequestsThrottled",
            "SubscriptionRequestsThrottled",
            "ServerBusy",
        ),
        "wait",
        "there were more requests in this subscription than Azure takes",
        AGAIN,
    ),
    Advice(
        ("DiskInActiveSasState",),
        "stop",
        _OPEN,
        _CLOSE,
    ),
    Advice(
        REFUSED,
        "stop",
        _OPEN,
        _CLOSE,
        r"ActiveUpload|ReadyToUpload|ActiveSAS|active (?:shared access|SAS)",
    ),
    Advice(
        ("PublicNetworkAccessDisabled", "NetworkAccessPolicyViolation", "KeyBasedAuthenticationNotPermitted"),
        "stop",
        "a rule of the organisation keeps disks and storage from the public network, or from access by key",
        "run azready inside that network (a private endpoint of a disk access), or ask for an exemption for the group",
    ),
    Advice(
        ("Conflict", "OperationNotAllowed"),
        "wait",
        "Azure is busy with another operation on it",
        AGAIN,
        r"concurrent|another operation|in progress|being (?:updated|provisioned)",
    ),
    Advice(
        (
            "InternalOperationError",
            "InternalServerError",
            "InternalExecutionError",
            "InternalDiskManagementError",
            "NetworkingInternalOperationError",
            "ServiceUnavailable",
            "ServerTimeout",
            "GatewayTimeout",
            "OperationTimedOut",
        ),
        "stop",
        "a fault within Azure",
        "run the same command again: it goes on where it stopped. If it stays, give Microsoft's support the ids above",
    ),
    Advice(
        ("ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound"),
        "gone",
        "there is no such thing",
        "check the name, the resource group and the subscription",
    ),
    Advice(
        ("InvalidResourceReference", "LinkedInvalidPropertyId", "InvalidResourceId"),
        "stop",
        "something that is named does not exist, or its id is wrong",
        "Azure's words name it: check the ids that were given; if it was removed meanwhile, run the same command again",
    ),
    Advice(
        ("InvalidParameter", "InvalidRequestContent", "InvalidRequestFormat", "BadRequest", "PropertyNotSupported"),
        "stop",
        "",
        "Azure's words name the value that it does not take; --dry-run prints every request as it is sent",
        weak=True,
    ),
)
