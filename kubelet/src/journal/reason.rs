//! Upstream's event reasons, so that tools and habits keep working.

macro_rules! reasons {
    ($($name:ident = $text:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $text;)*
    };
}

reasons! {
    SCHEDULED = "Scheduled", "The pod was given to this node.";
    PULLING = "Pulling", "An image pull began.";
    PULLED = "Pulled", "The image is here.";
    CREATED = "Created", "The container was created.";
    STARTED = "Started", "The container was started.";
    KILLING = "Killing", "The container is being stopped.";
    PREEMPTING = "Preempting", "The pod makes room for a more important one.";
    BACK_OFF = "BackOff", "A restart or pull waits for its back-off.";
    EXCEEDED_GRACE_PERIOD = "ExceededGracePeriod", "The runtime did not stop the container in time.";
    FAILED = "Failed", "A container step failed.";
    FAILED_CREATE_POD_SANDBOX = "FailedCreatePodSandBox", "The sandbox could not be made.";
    FAILED_POD_SANDBOX_STATUS = "FailedPodSandBoxStatus", "The sandbox could not be looked at.";
    SANDBOX_CHANGED = "SandboxChanged", "The sandbox is gone or outdated and is made anew.";
    FAILED_KILL_POD = "FailedKillPod", "The pod could not be stopped.";
    FAILED_MOUNT = "FailedMount", "A volume could not be mounted.";
    FAILED_UNMOUNT = "FailedUnMount", "A volume could not be unmounted.";
    FAILED_SYNC = "FailedSync", "The pod could not be brought to its wanted state.";
    FAILED_VALIDATION = "FailedValidation", "The manifest was refused.";
    FAILED_POST_START_HOOK = "FailedPostStartHook", "The postStart hook failed.";
    FAILED_PRE_STOP_HOOK = "FailedPreStopHook", "The preStop hook failed.";
    FAILED_CREATE_POD_CONTAINER = "FailedCreatePodContainer", "The pod's cgroup could not be made.";
    NETWORK_NOT_READY = "NetworkNotReady", "The runtime's network is not ready.";
    DNS_CONFIG_FORMING = "DNSConfigForming", "The DNS configuration had to be cut to its limits.";
    UNHEALTHY = "Unhealthy", "A probe failed.";
    PROBE_WARNING = "ProbeWarning", "A probe passed with a warning.";
    INSPECT_FAILED = "InspectFailed", "The image could not be looked at.";
    ERR_IMAGE_NEVER_PULL = "ErrImageNeverPull", "The image is absent and must not be pulled.";
    EVICTED = "Evicted", "The pod was removed to free resources.";
    FAILED_ADMISSION = "FailedAdmission", "The node cannot take the pod.";
    STARTING = "Starting", "The kubelet starts.";
    NODE_READY = "NodeReady", "The node can run pods.";
    NODE_NOT_READY = "NodeNotReady", "The node cannot run pods.";
    CONTAINER_GC_FAILED = "ContainerGCFailed", "Dead containers could not be removed.";
    IMAGE_GC_FAILED = "ImageGCFailed", "Images could not be removed.";
    FREE_DISK_SPACE_FAILED = "FreeDiskSpaceFailed", "Less was freed than is needed.";
    INVALID_DISK_CAPACITY = "InvalidDiskCapacity", "The image file system reports no size.";
    SYSTEM_OOM = "SystemOOM", "The kernel killed a process for want of memory.";
}
