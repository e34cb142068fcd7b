"""The WireServer's documents: versions, goal state, and the configurations that it links to.

Shapes as WALinuxAgent parses them (common/protocol/goal_state.py, wire.py) and as afterburn's recorded goal
state shows them: no namespace, ids opaque, `Configuration` holding absolute links on the WireServer itself.
"""

from urllib.parse import quote

from azready.fabric.machine import Machine
from azready.fabric.protocol.xml import attribute, escape

VERSIONS = (
    "2015-04-05",
    "2012-11-30",
    "2012-09-15",
    "2012-05-15",
    "2011-12-31",
    "2011-10-15",
    "2011-08-31",
    "2011-04-07",
    "2010-12-15",
    "2010-28-10",
)
"""What `/?comp=versions` offers; agents use 2012-11-30. (The last one is spelt so by the platform.)"""

USUAL = "2012-11-30"
"""What a request without x-ms-version gets, where it is served at all."""
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
CONFIGS = ("hostingEnvironmentConfig", "sharedConfig", "extensionsConfig", "fullConfig")


def versions() -> str:
    """The document of `/?comp=versions`."""
    supported = "".join(f"<Version>{version}</Version>" for version in VERSIONS)
    return (
        f"{DECLARATION}<Versions><Preferred><Version>{VERSIONS[0]}</Version></Preferred>"
        f"<Supported>{supported}</Supported></Versions>"
    )


def links(machine: Machine, host: str) -> dict[str, str]:
    """Element name → absolute URL of every document that this machine's goal state links to.

    With the port even where it is 80, and `-` and `_` of the instance escaped, as recorded (WALinuxAgent, afterburn).
    """
    authority = host if host.rpartition(":")[2].isdecimal() else f"{host}:80"
    instance = quote(machine.instance_id, safe="").replace("-", "%2D").replace("_", "%5F")
    base = f"http://{authority}/machine/{quote(machine.container_id, safe='')}/{instance}"
    incarnation = quote(machine.incarnation, safe="")
    named = {
        name[0].upper() + name[1:]: f"{base}?comp=config&type={name}&incarnation={incarnation}" for name in CONFIGS
    }
    if machine.certificates:
        named["Certificates"] = f"{base}?comp=certificates&incarnation={incarnation}"
    return named


def goal_state(machine: Machine, host: str, version: str) -> str:
    """The goal state of `machine`, with links to `host` (the Host header), in the `version` that was asked for."""
    configuration = "".join(f"\n          <{name}>{escape(url)}</{name}>" for name, url in links(machine, host).items())
    deployment, _, role = machine.instance_id.partition(".")
    config_name = f"{deployment}.0.{deployment}.0.{role}.1.xml"
    return f"""{DECLARATION}<GoalState xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xsi:noNamespaceSchemaLocation="goalstate10.xsd">
  <Version>{version}</Version>
  <Incarnation>{escape(machine.incarnation)}</Incarnation>
  <Machine>
    <ExpectedState>Started</ExpectedState>
    <StopRolesDeadlineHint>300000</StopRolesDeadlineHint>
    <LBProbePorts>
      <Port>16001</Port>
    </LBProbePorts>
    <ExpectHealthReport>FALSE</ExpectHealthReport>
  </Machine>
  <Container>
    <ContainerId>{escape(machine.container_id)}</ContainerId>
    <RoleInstanceList>
      <RoleInstance>
        <InstanceId>{escape(machine.instance_id)}</InstanceId>
        <State>Started</State>
        <Configuration>{configuration}
          <ConfigName>{escape(config_name)}</ConfigName>
        </Configuration>
      </RoleInstance>
    </RoleInstanceList>
  </Container>
</GoalState>
"""


def hosting_environment(machine: Machine) -> str:
    """HostingEnvironmentConfig: what WALinuxAgent reads of it is the deployment, role and VM names."""
    role = machine.instance_id.partition(".")[2].lstrip("_") or machine.name
    return f"""{DECLARATION}<HostingEnvironmentConfig version="1.0.0.0" \
goalStateIncarnation={attribute(machine.incarnation)}>
  <StoredCertificates/>
  <Deployment name={attribute(machine.vm_id)} guid="{{{machine.vm_id}}}" incarnation="0">
    <Service name={attribute(machine.name)} guid="{{{machine.vm_id}}}"/>
    <ServiceInstance name={attribute(machine.vm_id + ".0")} guid="{{{machine.vm_id}}}"/>
  </Deployment>
  <Incarnation number={attribute(machine.incarnation)} instance={attribute(machine.instance_id)} \
guid="{{{machine.container_id}}}"/>
  <Role guid="{{{machine.vm_id}}}" name={attribute(role)} hostingEnvironmentVersion="1" \
software="" softwareType="ApplicationPackage" entryPoint="" parameters="" settleTimeSeconds="0"/>
  <HostingEnvironmentSettings name="Runtime"/>
  <ApplicationSettings/>
  <ResourceReferences/>
</HostingEnvironmentConfig>
"""


def shared_config(machine: Machine) -> str:
    """SharedConfig: the instance's own address. Waagent only stores it, afterburn demands InputEndpoints."""
    return f"""{DECLARATION}<SharedConfig version="1.0.0.0" goalStateIncarnation={attribute(machine.incarnation)}>
  <Deployment name={attribute(machine.vm_id)} guid="{{{machine.vm_id}}}" incarnation="0" \
isNonCancellableTopologyChangeEnabled="false">
    <Service name={attribute(machine.name)} guid="{{{machine.vm_id}}}"/>
    <ServiceInstance name={attribute(machine.vm_id + ".0")} guid="{{{machine.vm_id}}}"/>
  </Deployment>
  <Incarnation number={attribute(machine.incarnation)} instance={attribute(machine.instance_id)} \
guid="{{{machine.container_id}}}"/>
  <Role guid="{{{machine.vm_id}}}" name={attribute(machine.name)} settleTimeSeconds="0"/>
  <LoadBalancerSettings timeoutSeconds="0" waitLoadBalancerProbeCount="8"/>
  <OutputEndpoints/>
  <Instances>
    <Instance id={attribute(machine.instance_id)} address={attribute(machine.address)}>
      <FaultDomains randomId="0" updateId="0" updateCount="0"/>
      <InputEndpoints/>
    </Instance>
  </Instances>
</SharedConfig>
"""


def extensions_config(machine: Machine) -> str:
    """ExtensionsConfig of a VM without extensions: no plug-ins, no settings, no status blob."""
    return f"""{DECLARATION}<Extensions version="1.0.0.0" goalStateIncarnation={attribute(machine.incarnation)}>
  <GuestAgentExtension xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
    <GAFamilies/>
  </GuestAgentExtension>
  <Plugins/>
  <PluginSettings/>
</Extensions>
"""


def full_config(machine: Machine) -> str:
    """FullConfig: nobody is known to read it in provisioning; the three others in one element."""
    parts = (hosting_environment(machine), shared_config(machine), extensions_config(machine))
    inner = "".join(part.removeprefix(DECLARATION) for part in parts)
    return f'{DECLARATION}<FullConfig version="1.0.0.0">\n{inner}</FullConfig>\n'


DOCUMENTS = dict(zip(CONFIGS, (hosting_environment, shared_config, extensions_config, full_config), strict=True))
