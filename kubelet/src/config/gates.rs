//! Feature gates: which exist in 1.36, how they stand, and how a configuration sets them.
//!
//! Decides whether a name is known and whether it may be changed. What a feature does when it
//! is on is for those who ask [`Gates::enabled`].

use std::collections::BTreeMap;

/// On, and part of the API for good: may not be switched off.
const LOCKED_ON: &[&str] = &[
    "APIServerTracing",
    "AggregatedDiscoveryRemoveBetaType",
    "AnonymousAuthConfigurableEndpoints",
    "AuthorizeNodeWithSelectors",
    "AuthorizeWithSelectors",
    "ConsistentListFromCache",
    "DRAAdminAccess",
    "DisableAllocatorDualWrite",
    "DynamicResourceAllocation",
    "ExecProbeTimeout",
    "ImageMaximumGCAge",
    "InPlacePodVerticalScaling",
    "JobManagedBy",
    "JobPodReplacementPolicy",
    "KubeletCgroupDriverFromCRI",
    "KubeletFineGrainedAuthz",
    "KubeletPSI",
    "KubeletTracing",
    "LogarithmicScaleDown",
    "MatchLabelKeysInPodAffinity",
    "MemoryManager",
    "MultiCIDRServiceAllocator",
    "NFTablesProxyMode",
    "NodeInclusionPolicyInPodTopologySpread",
    "NodeSwap",
    "OrderedNamespaceDeletion",
    "PodLifecycleSleepAction",
    "PodLifecycleSleepActionAllowZero",
    "PodObservedGenerationTracking",
    "PreferSameTrafficDistribution",
    "RecoverVolumeExpansionFailure",
    "RelaxedDNSSearchValidation",
    "RelaxedEnvironmentVariableValidation",
    "ResilientWatchCacheInitialization",
    "SchedulerQueueingHints",
    "SeparateTaintEvictionController",
    "ServiceAccountTokenJTI",
    "ServiceAccountTokenNodeBinding",
    "ServiceAccountTokenNodeBindingValidation",
    "ServiceAccountTokenPodNodeInfo",
    "SidecarContainers",
    "StreamingCollectionEncodingToJSON",
    "StreamingCollectionEncodingToProtobuf",
    "StructuredAuthenticationConfiguration",
    "StructuredAuthorizationConfiguration",
    "SupplementalGroupsPolicy",
    "SystemdWatchdog",
    "TopologyAwareHints",
    "UserNamespacesSupport",
    "VolumeAttributesClass",
    "WinDSR",
    "WinOverlay",
];

/// On by default.
const ON: &[&str] = &[
    "APIResponseCompression",
    "APIServerIdentity",
    "AllBeta",
    "AllowParsingUserUIDFromCertAuth",
    "AuthorizePodWebsocketUpgradeCreatePermission",
    "CPUManagerPolicyBetaOptions",
    "CSIServiceAccountTokenSecrets",
    "ClearingNominatedNodeNameAfterBinding",
    "ComponentFlagz",
    "ComponentStatusz",
    "ContainerCheckpoint",
    "ContainerRestartRules",
    "ContextualLogging",
    "DRAConsumableCapacity",
    "DRADeviceBindingConditions",
    "DRADeviceTaints",
    "DRAExtendedResource",
    "DRAPartitionableDevices",
    "DRAPrioritizedList",
    "DRAResourceClaimDeviceStatus",
    "DRASchedulerFilterTimeout",
    "DeclarativeValidation",
    "DeploymentReplicaSetTerminatingReplicas",
    "DetectCacheInconsistency",
    "DisableCPUQuotaWithExclusiveCPUs",
    "DisableNodeKubeProxyVersion",
    "EnvFiles",
    "ExternalServiceAccountTokenSigner",
    "GracefulNodeShutdown",
    "GracefulNodeShutdownBasedOnPodPriority",
    "HPAConfigurableTolerance",
    "HostnameOverride",
    "ImageVolume",
    "InPlacePodLevelResourcesVerticalScaling",
    "KubeletCrashLoopBackOffMax",
    "KubeletEnsureSecretPulledImages",
    "KubeletPodResourcesDynamicResources",
    "KubeletPodResourcesGet",
    "KubeletPodResourcesListUseActivePods",
    "KubeletSeparateDiskGC",
    "KubeletServiceAccountTokenForCredentialProviders",
    "ListFromCacheSnapshot",
    "LoggingBetaOptions",
    "MatchLabelKeysInPodTopologySpread",
    "MatchLabelKeysInPodTopologySpreadSelectorMerge",
    "MaxUnavailableStatefulSet",
    "MutableCSINodeAllocatableCount",
    "MutablePodResourcesForSuspendedJobs",
    "NodeLogQuery",
    "NominatedNodeNameForExpectation",
    "OpenAPIEnums",
    "OpportunisticBatching",
    "PodDeletionCost",
    "PodLevelResources",
    "PodReadyToStartContainersCondition",
    "PodTopologyLabelsAdmission",
    "PortForwardWebsockets",
    "PreventStaticPodAPIReferences",
    "ProcMountType",
    "ReloadKubeletClientCAFile",
    "ReloadKubeletServerCertificateFile",
    "RemoteRequestHeaderUID",
    "ResourceHealthStatus",
    "RestartAllContainersOnContainerExits",
    "RotateKubeletServerCertificate",
    "SELinuxChangePolicy",
    "SELinuxMountReadWriteOncePod",
    "SchedulerAsyncAPICalls",
    "SchedulerAsyncPreemption",
    "SchedulerPopFromBackoffQ",
    "ServiceAccountNodeAudienceRestriction",
    "SizeBasedListCostEstimate",
    "StatefulSetSemanticRevisionComparison",
    "StorageNamespaceIndex",
    "StorageVersionHash",
    "StructuredAuthenticationConfigurationEgressSelector",
    "StructuredAuthenticationConfigurationJWKSMetrics",
    "TokenRequestServiceAccountUIDValidation",
    "TopologyManagerPolicyBetaOptions",
    "TopologyManagerPolicyOptions",
    "TranslateStreamCloseWebsocketRequests",
    "UnauthenticatedHTTP2DOSMitigation",
    "WatchList",
    "WindowsGracefulNodeShutdown",
];

/// Off by default.
const OFF: &[&str] = &[
    "APIServingWithRoutine",
    "AllAlpha",
    "AllowDNSOnlyNodeCSR",
    "AllowInsecureKubeletCertificateSigningRequests",
    "AllowOverwriteTerminationGracePeriodSeconds",
    "AllowUnsafeMalformedObjectDeletion",
    "CBORServingAndStorage",
    "CPUManagerPolicyAlphaOptions",
    "CRDObservedGenerationTracking",
    "CSIVolumeHealth",
    "ChangeContainerStatusOnKubeletRestart",
    "CloudControllerManagerWatchBasedRoutesReconciliation",
    "CloudControllerManagerWebhook",
    "ClusterTrustBundle",
    "ClusterTrustBundleProjection",
    "ConcurrentWatchObjectDecode",
    "ConstrainedImpersonation",
    "ContainerStopSignals",
    "CoordinatedLeaderElection",
    "CrossNamespaceVolumeDataSource",
    "CustomCPUCFSQuotaPeriod",
    "DRADeviceTaintRules",
    "DRAListTypeAttributes",
    "DRANodeAllocatableResources",
    "DRAWorkloadResourceClaims",
    "DeclarativeValidationTakeover",
    "EventedPLEG",
    "GangScheduling",
    "GenericWorkload",
    "GitRepoVolumeDriver",
    "HPAScaleToZero",
    "ImageVolumeWithDigest",
    "InPlacePodVerticalScalingExclusiveCPUs",
    "InPlacePodVerticalScalingExclusiveMemory",
    "KMSv1",
    "KubeletInUserNamespace",
    "KubeletRegistrationGetOnExistsOnly",
    "LocalStorageCapacityIsolationFSQuotaMonitoring",
    "LoggingAlphaOptions",
    "MemoryQoS",
    "MutablePVNodeAffinity",
    "MutableSchedulingDirectivesForSuspendedJobs",
    "MutatingAdmissionPolicy",
    "NodeDeclaredFeatures",
    "PodAndContainerStatsFromCRI",
    "PodCertificateRequest",
    "PodLogsQuerySplitStreams",
    "QOSReserved",
    "ReduceDefaultCrashLoopBackOffDecay",
    "RelaxedServiceNameValidation",
    "RuntimeClassInImageCriAPI",
    "SELinuxMount",
    "SeparateCacheWatchRPC",
    "StorageCapacityScoring",
    "StorageVersionAPI",
    "StorageVersionMigrator",
    "StrictIPCIDRValidation",
    "TaintTolerationComparisonOperators",
    "TopologyAwareWorkloadScheduling",
    "TopologyManagerPolicyAlphaOptions",
    "UnknownVersionInteroperabilityProxy",
    "UserNamespacesHostNetworkSupport",
    "VolumeLimitScaling",
    "WatchCacheInitializationPostStartHook",
    "WatchFromStorageWithoutResourceVersion",
    "WindowsCPUAndMemoryAffinity",
    "WindowsHostNetwork",
    "WorkloadAwarePreemption",
];

/// How every feature stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    set: BTreeMap<String, bool>,
}

/// Why a feature gate cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// No feature has that name in 1.36.
    #[error("unrecognized feature gate: {0}")]
    Unknown(String),
    /// The feature is part of the API for good.
    #[error("cannot set feature gate {0} to false, feature is locked to true")]
    Locked(String),
}

impl GateError {
    /// The name of the feature.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(name) | Self::Locked(name) => name,
        }
    }
}

impl Gates {
    /// The defaults with some features switched.
    ///
    /// # Errors
    /// One for each name that is unknown or locked.
    pub fn new(set: &BTreeMap<String, bool>) -> Result<Self, Vec<GateError>> {
        let errors: Vec<_> = set.iter().filter_map(|(n, on)| check(n, *on)).collect();
        match errors.is_empty() {
            true => Ok(Self { set: set.clone() }),
            false => Err(errors),
        }
    }

    /// Whether a feature is on.
    #[must_use]
    pub fn enabled(&self, name: &str) -> bool {
        self.set
            .get(name)
            .copied()
            .unwrap_or_else(|| LOCKED_ON.contains(&name) || ON.contains(&name))
    }

    /// Every known feature, in order, and whether it is on.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let mut names: Vec<_> = [LOCKED_ON, ON, OFF].concat();
        names.sort_unstable();
        names.into_iter().map(|name| (name, self.enabled(name)))
    }
}

fn check(name: &str, on: bool) -> Option<GateError> {
    if LOCKED_ON.contains(&name) {
        return (!on).then(|| GateError::Locked(name.to_owned()));
    }
    let known = ON.contains(&name) || OFF.contains(&name);
    (!known).then(|| GateError::Unknown(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{GateError, Gates};

    fn set(name: &str, on: bool) -> Result<Gates, Vec<GateError>> {
        Gates::new(&BTreeMap::from([(name.to_owned(), on)]))
    }

    #[test]
    fn lists_each_feature_once() {
        let names: Vec<_> = Gates::default().all().map(|(name, _)| name).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn switches_what_may_be_switched() {
        assert!(set("MemoryQoS", true).unwrap().enabled("MemoryQoS"));
        assert!(!set("EnvFiles", false).unwrap().enabled("EnvFiles"));
        assert!(Gates::default().enabled("NodeSwap"));
        assert!(!Gates::default().enabled("EventedPLEG"));
    }

    #[test]
    fn refuses_by_name() {
        let unknown = vec![GateError::Unknown("Nonsense".to_owned())];
        assert_eq!(set("Nonsense", true).unwrap_err(), unknown);
        let locked = vec![GateError::Locked("NodeSwap".to_owned())];
        assert_eq!(set("NodeSwap", false).unwrap_err(), locked);
        assert!(set("NodeSwap", true).is_ok());
    }
}
