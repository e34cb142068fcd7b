"""Images, gallery definitions, and the VM sizes that can boot them."""

from azready.azure.refusals.row import DEFINITION, REFUSED, SECURITY, SIZES, Advice

_UNUSABLE = "Azure cannot use the disk that was uploaded"
_MAKE_ANEW = (
    "`azready check DISK` says what is wrong with it, `azready convert DISK OUT.vhd` makes a right one; then publish "
    "that one with --restart"
)

IMAGES: tuple[Advice, ...] = (
    # Images
    Advice(
        ("NotFound", "ImageNotFound", "ResourceNotFound"),
        "stop",
        r"a managed image can be used in its own region only, and this one is not in \1",
        "use the image's region with --location, or publish to a gallery with --target-regions",
        r"[Ii]mage .*cannot be found in '?([\w ]+?)'? region",
    ),
    Advice(
        ("GalleryImageNotFound", "ImageNotFound", "NotFound", "ResourceNotFound"),
        "stop",
        "the gallery version is not replicated to this region",
        "`az sig image-version update … --add publishingProfile.targetRegions name=REGION` copies it there; or use a "
        "--location that it has",
        r"not (?:available|replicated|found) in .{0,60}region|replicate",
    ),
    Advice(
        ("GalleryImageNotFound",),
        "stop",
        "there is no such version, or every version is excluded from latest or not in this region",
        "`az sig image-version list -g GROUP -r GALLERY -i DEFINITION --output table` shows the versions; "
        "give one by its whole id",
    ),
    Advice(
        ("PlatformImageNotFound", "ImageNotFound", "VMImageNotFound", "ImageVersionDeprecated"),
        "stop",
        "there is no such image in this region",
        "`az vm image list --all --publisher PUBLISHER --location LOCATION --output table` lists those that are left",
    ),
    Advice(
        ("MarketplacePurchaseEligibilityFailed", "ResourcePurchaseValidationFailed", "ResourcePurchaseCanceled"),
        "stop",
        "the image's purchase terms are not accepted, or it may not be bought with this subscription",
        "az vm image terms accept --urn PUBLISHER:OFFER:SKU:VERSION, then run the same command again",
    ),
    Advice(
        ("VMMarketplaceInvalidInput",),
        "stop",
        "the image comes from a marketplace image with a purchase plan, which every VM of it has to name",
        "give it with --plan PUBLISHER:PRODUCT:NAME; `az vm image show --urn URN --query plan` prints it",
    ),
    Advice(
        ("InvalidVhd", "VhdInvalid", "InvalidVhdFormat", "UnsupportedVhd"),
        "stop",
        _UNUSABLE,
        _MAKE_ANEW,
    ),
    Advice(
        REFUSED,
        "stop",
        _UNUSABLE,
        _MAKE_ANEW,
        r"(?i)VHD footer|cookie value|not a supported VHD|unsupported virtual size|whole number \(in MBs\)",
    ),
    # Security types: image, definition, VM
    Advice(
        REFUSED,
        "stop",
        "this image makes Trusted Launch VMs only",
        "leave out --security-type, or say --security-type TrustedLaunch",
        r"only supports creation of VMs.*'?TrustedLaunch",
    ),
    Advice(
        REFUSED,
        "stop",
        "there can be no managed image of a Trusted Launch VM",
        "make a gallery version: --gallery-name and --gallery-image-definition",
        r"(?i)managed images? .*not supported.*TrustedLaunch|TrustedLaunch.*managed image|'Capture' is not supported",
    ),
    Advice(
        REFUSED,
        "stop",
        "a definition with SecurityType TrustedLaunchSupported takes neither a VM nor a disk as its source",
        f"{DEFINITION}; azready chooses its SecurityType by the source",
        r"'TrustedLaunch\w*Supported' is not supported for the source",
    ),
    Advice(
        REFUSED,
        "stop",
        "what comes from a Trusted Launch VM needs a definition with SecurityType TrustedLaunch",
        f"{DEFINITION}; azready chooses its SecurityType by the source",
        r"contains TrustedLaunch or ConfidentialVM security data",
    ),
    Advice(
        REFUSED,
        "stop",
        "the security types of image, disk, definition or VM size do not go together",
        f"try --security-type Standard or TrustedLaunch, or another --size; {SECURITY}",
        r"(?i)security ?type|trusted ?launch|confidential ?vm",
    ),
    # Sizes
    Advice(
        REFUSED,
        "stop",
        "the image and the VM size (or the definition) are of different generations",
        "choose a --size that has the image's generation, or convert the disk to the other one",
        r"[Hh]ypervisor [Gg]eneration",
    ),
    Advice(
        REFUSED,
        "stop",
        "the VM size and the image have no disk controller in common (sizes from v6 on have NVMe alone)",
        "choose a --size of the v5 families; or make the image anew in a definition with "
        "--disk-controller-types 'SCSI, NVMe', if `azready check` finds its NVMe drivers",
        r"[Dd]isk ?[Cc]ontroller",
    ),
    Advice(
        REFUSED,
        "stop",
        "the gallery definition is of another architecture than what goes into it",
        f"{DEFINITION}, or say --architecture as it is",
        r"(?is)(?=.*definition).*architecture",
    ),
    Advice(
        REFUSED,
        "stop",
        "the image and the VM size are of different architectures",
        "choose a --size of the image's architecture (Arm64 sizes have a `p` in their name: Standard_D2ps_v5)",
        r"(?i)cpu architecture|architecture '(x64|arm64)'",
    ),
    Advice(("SkuNotAvailable",), "stop", "this VM size is not to be had in this region", SIZES),
    Advice(
        (
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
        ),
        "stop",
        "Azure has no room for this VM size just now",
        "try again later, or with another --size or --location",
    ),
    Advice(
        ("QuotaExceeded", "ResourceQuotaExceeded"),
        "stop",
        "the subscription's quota is used up",
        "choose another --size or --location, or ask for more: `az vm list-usage -l LOCATION --output table`",
    ),
    Advice(
        ("OperationNotAllowed",),
        "stop",
        "the subscription's quota is used up",
        "choose another --size or --location, or ask for more: `az vm list-usage -l LOCATION --output table`",
        r"quota",
    ),
    Advice(
        (
            "PublicIPCountLimitReached",
            "StandardSkuPublicIPCountLimitReached",
            "IPv4BasicSkuPublicIpCountLimitReached",
            "IPv4StandardSkuPublicIpCountLimitReached",
            "VirtualNetworkCountLimitReached",
            "NetworkCountLimitReached",
            "NetworkSecurityGroupCountLimitReached",
            "NetworkInterfaceCountLimitReached",
        ),
        "stop",
        "the subscription's quota of network resources is used up",
        "remove some, ask for more (`az network list-usages -l LOCATION --output table`), or use what exists: "
        "--subnet ID and --no-public-ip",
    ),
    Advice(
        ("SubnetIsFull", "InsufficientSubnetSize"),
        "stop",
        "the subnet has no address left",
        "give another with --subnet, or leave it out: azready makes a network of its own",
    ),
)
