{{/* What the operator does where pipelines are, as operator/src/rights.rs says; a test compares them. */}}
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

{{/* What it does in a namespace that is not watched, but whose Kafkas are used. */}}
{{- define "operator.kafkaRules" -}}
- {apiGroups: [kafka.strimzi.io], resources: [kafkas], verbs: [get]}
- {apiGroups: [kafka.strimzi.io], resources: [kafkatopics], verbs: [get, list, create, patch, delete]}
{{- end }}

{{/* What it does in the namespace of the Lease. */}}
{{- define "operator.leaseRules" -}}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
{{- end }}

{{/* Who has these rights. */}}
{{- define "operator.subjects" -}}
- {kind: ServiceAccount, name: {{ include "operator.serviceAccount" . }}, namespace: {{ .Release.Namespace }}}
{{- end }}
