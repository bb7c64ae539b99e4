{{/* The name of everything of this release. */}}
{{- define "launchpad.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* The role that the controller gives itself in each user's namespace. */}}
{{- define "launchpad.tenantRole" -}}
{{- printf "%s-tenant" (include "launchpad.name" .) -}}
{{- end -}}

{{/* What marks the objects of this installation. */}}
{{- define "launchpad.installation" -}}
{{- .Values.installation | default (include "launchpad.name" .) -}}
{{- end -}}

{{- define "launchpad.selector" -}}
app.kubernetes.io/name: agent-launchpad-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "launchpad.labels" -}}
{{ include "launchpad.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: agent-launchpad
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* repository:tag, or repository@digest; takes (list image chart). */}}
{{- define "launchpad.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1).AppVersion }}
{{- end -}}
{{- end -}}

{{/* Rules of a role from a file; what only one way to expose agents needs, only with that one. */}}
{{- define "launchpad.rules" -}}
{{- $root := index . 0 -}}
{{- range $root.Files.Get (index . 1) | fromYamlArray -}}
{{- if or (not .expose) (eq .expose $root.Values.agents.expose) }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  verbs: {{ toJson .verbs }}
  {{- if .resourceNames }}
  resourceNames: [{{ include "launchpad.tenantRole" $root }}]
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The controller's settings. */}}
{{- define "launchpad.environment" -}}
{{- $settings := .Values.settings -}}
- name: LAUNCHPAD_CLUSTER
  value: kubernetes
- name: LAUNCHPAD_SUPABASE_URL
  value: {{ required "supabase.url is needed: the project's address" .Values.supabase.url | quote }}
- name: LAUNCHPAD_PUBLISHABLE_KEY
  value: {{ required "supabase.publishableKey is needed: agents ask the project with it who calls them" .Values.supabase.publishableKey | quote }}
{{- range tuple "LAUNCHPAD_SECRET_KEY" "LAUNCHPAD_WEBHOOK_SECRET" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ required "secretName is needed: a Secret with LAUNCHPAD_SECRET_KEY and LAUNCHPAD_WEBHOOK_SECRET" $.Values.secretName }}
      key: {{ . }}
{{- end }}
- name: LAUNCHPAD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: LAUNCHPAD_SERVICE_ACCOUNT
  valueFrom:
    fieldRef:
      fieldPath: spec.serviceAccountName
- name: LAUNCHPAD_PEERS
  value: {{ printf "%s-peers.%s.svc:8080" (include "launchpad.name" .) .Release.Namespace }}
{{- $values := dict
  "LAUNCHPAD_TENANT_ROLE" (include "launchpad.tenantRole" .)
  "LAUNCHPAD_INSTALLATION" (include "launchpad.installation" .)
  "LAUNCHPAD_NAMESPACE_PREFIX" .Values.namespacePrefix
  "LAUNCHPAD_STATE_DIR" "/state"
  "LAUNCHPAD_HOST" "0.0.0.0"
  "LAUNCHPAD_PORT" 8080
  "LAUNCHPAD_AGENT_IMAGE" (include "launchpad.image" (list .Values.agents.image .Chart))
  "LAUNCHPAD_AGENT_IMAGE_PULL_POLICY" .Values.agents.image.pullPolicy
  "LAUNCHPAD_AGENT_IMAGE_PULL_SECRETS" (join "," .Values.agents.imagePullSecrets)
  "LAUNCHPAD_AGENT_DOMAIN" (required "agents.domain is needed: agents are served at <agentId>.agents.<domain>" .Values.agents.domain)
  "LAUNCHPAD_AGENT_URL_TEMPLATE" .Values.agents.urlTemplate
  "LAUNCHPAD_PROXY_HOPS" .Values.agents.proxyHops
  "LAUNCHPAD_EXPOSE" .Values.agents.expose
  "LAUNCHPAD_INGRESS_CLASS" .Values.agents.ingressClassName
  "LAUNCHPAD_INGRESS_TLS_SECRET" .Values.agents.ingressTlsSecret
  "LAUNCHPAD_INGRESS_NAMESPACE" .Values.agents.ingressNamespace
  "LAUNCHPAD_INGRESS_CIDRS" (join "," .Values.agents.ingressCidrs)
  "LAUNCHPAD_PROJECT_URL" .Values.supabase.agentsUrl
  "LAUNCHPAD_PROJECT_CIDRS" (join "," .Values.supabase.cidrs)
  "LAUNCHPAD_EGRESS_CIDRS" (join "," .Values.agents.egress.cidrs)
  "LAUNCHPAD_EGRESS_EXCEPT_CIDRS" (join "," .Values.agents.egress.exceptCidrs)
  "LAUNCHPAD_EGRESS_ALLOW_PRIVATE" .Values.agents.egress.allowPrivate
  "LAUNCHPAD_EGRESS_PORTS" (join "," .Values.agents.egress.ports)
  "LAUNCHPAD_ADVISORY_URL" $settings.advisoryUrl
  "LAUNCHPAD_LOG_LEVEL" $settings.logLevel
  "LAUNCHPAD_CONCURRENCY" $settings.concurrency
  "LAUNCHPAD_POLL_SECONDS" $settings.pollSeconds
  "LAUNCHPAD_LEASE_SECONDS" $settings.leaseSeconds
  "LAUNCHPAD_READY_SECONDS" $settings.readySeconds
  "LAUNCHPAD_CRASH_LIMIT" $settings.crashLimit
  "LAUNCHPAD_GRACE_SECONDS" $settings.graceSeconds
  "LAUNCHPAD_METRICS_SECONDS" $settings.metricsSeconds
  "LAUNCHPAD_RESYNC_SECONDS" $settings.resyncSeconds
  "LAUNCHPAD_AGENT_LOGS" (has (toString $settings.logs) (list "off" "false") | ternary "off" "store")
  "LAUNCHPAD_AGENT_LOG_LINES" $settings.logLinesPerMinute
  "LAUNCHPAD_SPOOL_MEGABYTES" $settings.spoolMegabytes
-}}
{{- if eq .Values.agents.expose "gateway" }}
{{- $_ := set $values "LAUNCHPAD_GATEWAY" (printf "%s/%s" (required "agents.gateway.namespace is needed with agents.expose=gateway" .Values.agents.gateway.namespace) (required "agents.gateway.name is needed with agents.expose=gateway" .Values.agents.gateway.name)) }}
{{- end }}
{{- range $name, $value := $values }}
{{- if ne (toString $value) "" }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
