{{/* The operator's rights in the namespaces of pipelines. A test compares them with operator/src/rights.rs. */}}
{{- define "operator.rules" -}}
- {apiGroups: [loginpipeline.dev], resources: [loginpipelines], verbs: [get, list, watch, patch]}
- {apiGroups: [loginpipeline.dev], resources: [loginpipelines/status], verbs: [patch]}
- {apiGroups: [""], resources: [configmaps], verbs: [list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [serviceaccounts], verbs: [get, list, watch, create, patch]}
- {apiGroups: [apps], resources: [deployments], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [services], verbs: [get, list, watch, create, patch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [get, list, watch, create, patch]}
- {apiGroups: [""], resources: [pods], verbs: [list]}
- {apiGroups: [""], resources: [secrets], verbs: [get]}
- {apiGroups: [""], resources: [namespaces], verbs: [get]}
- {apiGroups: [kafka.strimzi.io], resources: [kafkas], verbs: [get, list, watch]}
- {apiGroups: [kafka.strimzi.io], resources: [kafkatopics], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [list, create, patch]}
{{- end }}

{{/* Its rights in a namespace that is not watched, but whose Kafkas pipelines use. */}}
{{- define "operator.kafkaRules" -}}
- {apiGroups: [kafka.strimzi.io], resources: [kafkas], verbs: [get]}
- {apiGroups: [kafka.strimzi.io], resources: [kafkatopics], verbs: [get, list, create, patch, delete]}
{{- end }}

{{/* Its rights in the namespace of the Lease. */}}
{{- define "operator.leaseRules" -}}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
{{- end }}

{{/* The subject that has these rights. */}}
{{- define "operator.subjects" -}}
- {kind: ServiceAccount, name: {{ include "operator.serviceAccount" . }}, namespace: {{ .Release.Namespace }}}
{{- end }}
