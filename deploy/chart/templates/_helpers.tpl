{{/*
The name of everything of this release: its own name, unless fullnameOverride or nameOverride says another. Helm takes dots in a
release's name, a Service does not.
*/}}
{{- define "launchpad.name" -}}
{{- $name := .Release.Name -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if and .Values.nameOverride (not (contains .Values.nameOverride .Release.Name)) -}}
{{- $name = printf "%s-%s" .Release.Name .Values.nameOverride -}}
{{- end -}}
{{- $name | replace "." "-" | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* The account that the controller runs as. Its rights are given to this name alone. */}}
{{- define "launchpad.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "launchpad.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed with serviceAccount.create=false: the controller's rights are not for the account `default`" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The role that the controller gives itself in each user's namespace. */}}
{{- define "launchpad.tenantRole" -}}
{{- printf "%s-tenant" (include "launchpad.name" .) -}}
{{- end -}}

{{/* What marks the objects of this installation. */}}
{{- define "launchpad.installation" -}}
{{- .Values.installation | default (.Release.Name | replace "." "-" | trunc 50 | trimSuffix "-") -}}
{{- end -}}

{{- define "launchpad.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default "agent-launchpad-controller" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object; commonLabels adds to them and replaces none. */}}
{{- define "launchpad.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/component" "controller"
  "app.kubernetes.io/part-of" "agent-launchpad"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)
-}}
{{- toYaml (merge (include "launchpad.selector" . | fromYaml) $ours .Values.commonLabels) -}}
{{- end -}}

{{/* The same with further labels of one object; takes (list root labels). None of them changes what selects pods. */}}
{{- define "launchpad.labelsWith" -}}
{{- $root := index . 0 -}}
{{- toYaml (merge (include "launchpad.selector" $root | fromYaml) (index . 1) (include "launchpad.labels" $root | fromYaml)) -}}
{{- end -}}

{{/* Labels of the controller's pods. The one of the store is what agents' network policies let them connect to. */}}
{{- define "launchpad.podLabels" -}}
{{- $store := .Values.plugins.enabled | ternary (dict "agent-launchpad.dev/plugin-store" (include "launchpad.installation" .)) dict -}}
{{- include "launchpad.labelsWith" (list . (merge $store .Values.podLabels)) -}}
{{- end -}}

{{/* Pull secrets as Kubernetes writes them; takes names and objects. */}}
{{- define "launchpad.pullSecrets" -}}
{{- range . }}
- name: {{ if kindIs "string" . }}{{ quote . }}{{ else }}{{ quote .name }}{{ end }}
{{- end -}}
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
  resourceNames: [{{ include "launchpad.tenantRole" $root | quote }}]
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The controller's environment: its settings, then extraEnv. An entry of extraEnv replaces one of the same name. */}}
{{- define "launchpad.environment" -}}
{{- $reserved := dict
  "LAUNCHPAD_INSTALLATION" "installation"
  "LAUNCHPAD_NAMESPACE_PREFIX" "namespacePrefix"
  "LAUNCHPAD_SERVICE_ACCOUNT" "serviceAccount.name"
  "LAUNCHPAD_TENANT_ROLE" "fullnameOverride"
  "LAUNCHPAD_NAMESPACE" "the namespace of the release"
  "LAUNCHPAD_CLUSTER" "no value: this chart is for Kubernetes"
  "LAUNCHPAD_PORT" "service.port"
  "LAUNCHPAD_PLUGIN_URL" "plugins.enabled"
  "LAUNCHPAD_PLUGIN_PORT" "plugins.port"
-}}
{{- $extra := dict -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $reserved .name -}}
{{- fail (printf "extraEnv cannot set %s: roles, the admission policy and Services follow the value. Set %s." .name (get $reserved .name)) -}}
{{- end -}}
{{- $_ := set $extra .name . -}}
{{- end -}}
{{- $all := list -}}
{{- range include "launchpad.settings" . | fromYamlArray -}}
{{- if not (hasKey $extra .name) -}}
{{- $all = append $all . -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $extra .name -}}
{{- $all = append $all (get $extra .name) -}}
{{- $_ := unset $extra .name -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The controller's settings as environment. */}}
{{- define "launchpad.settings" -}}
{{- $settings := .Values.settings -}}
{{- $pullSecrets := list -}}
{{- $podSecurity := dict -}}
{{- range $field, $value := .Values.agents.podSecurityContext -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $podSecurity $field $value -}}
{{- end -}}
{{- end -}}
{{- $pods := dict -}}
{{- range $field := list "runtimeClassName" "priorityClassName" "nodeSelector" "tolerations" "affinity" "labels" "annotations" -}}
{{- with index $.Values.agents $field -}}
{{- $_ := set $pods $field . -}}
{{- end -}}
{{- end -}}
{{- if not .Values.agents.hostUsers -}}
{{- $_ := set $pods "hostUsers" false -}}
{{- end -}}
{{- range include "launchpad.pullSecrets" .Values.agents.imagePullSecrets | fromYamlArray -}}
{{- $pullSecrets = append $pullSecrets .name -}}
{{- end -}}
- name: LAUNCHPAD_CLUSTER
  value: kubernetes
- name: LAUNCHPAD_SUPABASE_URL
  value: {{ required "supabase.url is needed: the project's address" .Values.supabase.url | quote }}
- name: LAUNCHPAD_PUBLISHABLE_KEY
  value: {{ required "supabase.publishableKey is needed: agents ask the project with it who calls them" .Values.supabase.publishableKey | quote }}
{{- range tuple "LAUNCHPAD_SECRET_KEY" "LAUNCHPAD_WEBHOOK_SECRET" }}
- name: {{ . | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ required "secretName is needed: a Secret with LAUNCHPAD_SECRET_KEY and LAUNCHPAD_WEBHOOK_SECRET" $.Values.secretName | quote }}
      key: {{ . | quote }}
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
  value: {{ printf "%s-peers.%s.svc:8080" (include "launchpad.name" .) .Release.Namespace | quote }}
- name: LAUNCHPAD_DOORS
  value: {{ printf "%s-peers.%s.svc:8081" (include "launchpad.name" .) .Release.Namespace | quote }}
{{- $values := dict
  "LAUNCHPAD_TENANT_ROLE" (include "launchpad.tenantRole" .)
  "LAUNCHPAD_INSTALLATION" (include "launchpad.installation" .)
  "LAUNCHPAD_NAMESPACE_PREFIX" .Values.namespacePrefix
  "LAUNCHPAD_STATE_DIR" "/state"
  "LAUNCHPAD_HOST" "::"
  "LAUNCHPAD_PORT" 8080
  "LAUNCHPAD_AGENT_IMAGE" (include "launchpad.image" (list .Values.agents.image .Chart))
  "LAUNCHPAD_AGENT_IMAGE_PULL_POLICY" .Values.agents.image.pullPolicy
  "LAUNCHPAD_AGENT_IMAGE_PULL_SECRETS" (join "," $pullSecrets)
  "LAUNCHPAD_AGENT_DOMAIN" (required "agents.domain is needed: agents are served at <agentId>.agents.<domain>" .Values.agents.domain)
  "LAUNCHPAD_AGENT_URL_TEMPLATE" .Values.agents.urlTemplate
  "LAUNCHPAD_PROXY_HOPS" .Values.agents.proxyHops
  "LAUNCHPAD_EXPOSE" .Values.agents.expose
  "LAUNCHPAD_INGRESS_CLASS" .Values.agents.ingressClassName
  "LAUNCHPAD_INGRESS_TLS_SECRET" .Values.agents.ingressTlsSecret
  "LAUNCHPAD_INGRESS_ANNOTATIONS" (.Values.agents.ingressAnnotations | empty | ternary "" (toJson .Values.agents.ingressAnnotations))
  "LAUNCHPAD_COPY_NAMED" .Values.agents.copySecrets
  "LAUNCHPAD_CA_BUNDLE" (.Values.caBundle.name | empty | ternary "" (toJson .Values.caBundle))
  "NODE_EXTRA_CA_CERTS" (.Values.caBundle.name | empty | ternary "" (printf "/etc/launchpad-ca/%s" .Values.caBundle.key))
  "LAUNCHPAD_INGRESS_NAMESPACE" .Values.agents.ingressNamespace
  "LAUNCHPAD_INGRESS_CIDRS" (join "," .Values.agents.ingressCidrs)
  "LAUNCHPAD_AGENT_PODS" (toJson $pods)
  "LAUNCHPAD_AGENT_POD_SECURITY_CONTEXT" (toJson $podSecurity)
  "LAUNCHPAD_DNS" (toJson .Values.dns)
  "LAUNCHPAD_PROJECT_URL" .Values.supabase.agentsUrl
  "LAUNCHPAD_PROJECT_CIDRS" (join "," .Values.supabase.cidrs)
  "LAUNCHPAD_EGRESS_CIDRS" (join "," .Values.agents.egress.cidrs)
  "LAUNCHPAD_EGRESS_EXCEPT_CIDRS" (join "," .Values.agents.egress.exceptCidrs)
  "LAUNCHPAD_EGRESS_ALLOW_PRIVATE" .Values.agents.egress.allowPrivate
  "LAUNCHPAD_EGRESS_PORTS" (join "," .Values.agents.egress.ports)
  "LAUNCHPAD_AGENT_PRIVATE_HOSTS" (join "," .Values.agents.egress.privateHosts)
  "LAUNCHPAD_TOOL_PRIVATE_HOSTS" (join "," .Values.agents.egress.toolPrivateHosts)
  "LAUNCHPAD_LOG_LEVEL" $settings.logLevel
  "LAUNCHPAD_CONCURRENCY" $settings.concurrency
  "LAUNCHPAD_POLL_SECONDS" $settings.pollSeconds
  "LAUNCHPAD_LEASE_SECONDS" $settings.leaseSeconds
  "LAUNCHPAD_READY_SECONDS" $settings.readySeconds
  "LAUNCHPAD_CRASH_LIMIT" $settings.crashLimit
  "LAUNCHPAD_GRACE_SECONDS" $settings.graceSeconds
  "LAUNCHPAD_ROLLOUT_PERCENT" .Values.agents.rollout.percent
  "LAUNCHPAD_ROLLOUT_MAX_FAILURES" .Values.agents.rollout.maxFailures
  "LAUNCHPAD_ROLLOUT_SOAK_SECONDS" .Values.agents.rollout.soakSeconds
  "LAUNCHPAD_METRICS_SECONDS" $settings.metricsSeconds
  "LAUNCHPAD_RESYNC_SECONDS" $settings.resyncSeconds
  "LAUNCHPAD_AGENT_LOGS" (has (toString $settings.logs) (list "off" "false") | ternary "off" "store")
  "LAUNCHPAD_AGENT_LOG_LINES" $settings.logLinesPerMinute
  "LAUNCHPAD_SPOOL_MEGABYTES" $settings.spoolMegabytes
-}}
{{- if eq .Values.agents.expose "gateway" }}
{{- $_ := set $values "LAUNCHPAD_GATEWAY" (printf "%s/%s" (required "agents.gateway.namespace is needed with agents.expose=gateway" .Values.agents.gateway.namespace) (required "agents.gateway.name is needed with agents.expose=gateway" .Values.agents.gateway.name)) }}
{{- end }}
{{- if .Values.plugins.enabled }}
{{- $_ := set $values "LAUNCHPAD_PLUGIN_URL" (printf "http://%s-plugins.%s.svc:%v" (include "launchpad.name" .) .Release.Namespace (int .Values.plugins.port)) }}
{{- $_ := set $values "LAUNCHPAD_PLUGIN_PORT" (int .Values.plugins.port) }}
{{- $_ := set $values "LAUNCHPAD_PLUGIN_STORE" "/store" }}
{{- $_ := set $values "LAUNCHPAD_PLUGIN_STORE_MEGABYTES" (mul 512 .Values.plugins.store.gibibytes) }}
{{- $_ := set $values "npm_config_registry" .Values.plugins.registry }}
{{- end }}
{{- range $name, $value := $values }}
{{- if ne (toString $value) "" }}
- name: {{ $name | quote }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A probe; takes (list path timings). */}}
{{- define "launchpad.probe" -}}
httpGet:
  path: {{ index . 0 | quote }}
  port: http
{{ toYaml (index . 1) }}
{{- end -}}

{{/* How controllers are spread. A constraint that selects no pods gets the controller's own. */}}
{{- define "launchpad.spread" -}}
{{- $selector := dict "matchLabels" (include "launchpad.selector" . | fromYaml) -}}
{{- $constraints := .Values.topologySpreadConstraints | default (list
  (dict "topologyKey" "kubernetes.io/hostname" "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway")
  (dict "topologyKey" "topology.kubernetes.io/zone" "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway"))
-}}
{{- $all := list -}}
{{- range $constraints -}}
{{- $own := hasKey . "labelSelector" | ternary dict (dict "labelSelector" $selector) -}}
{{- $all = append $all (merge (deepCopy .) $own) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The peer and ports of a network policy that lets pods ask the cluster's DNS. */}}
{{- define "launchpad.dnsRule" -}}
- to:
    - namespaceSelector:
        matchExpressions:
          - key: kubernetes.io/metadata.name
            operator: In
            values: {{ toJson .Values.dns.namespaces }}
      {{- with .Values.dns.podLabels }}
      podSelector:
        matchLabels:
          {{- toYaml . | nindent 10 }}
      {{- end }}
    {{- range .Values.dns.cidrs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    {{- range .Values.dns.ports }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end -}}

{{/* Ports of what the controller connects to: networkPolicy.egressPorts, and that of the project's address. */}}
{{- define "launchpad.egressPorts" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.egressPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- with .Values.supabase.url -}}
{{- if hasPrefix "http" . -}}
{{- $named := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- $ports = append $ports ($named | default (hasPrefix "https:" . | ternary 443 80) | int) -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $ports) -}}
{{- end -}}

{{/* IP families of a Service; nothing where the cluster's own choice stands. */}}
{{- define "launchpad.families" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . | quote }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* Names of the Secrets of the release's namespace that the controller copies to users' namespaces, as JSON. */}}
{{- define "launchpad.copiedSecrets" -}}
{{- $names := list -}}
{{- if .Values.agents.copySecrets -}}
{{- range include "launchpad.pullSecrets" .Values.agents.imagePullSecrets | fromYamlArray -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $tls := .Values.agents.ingressTlsSecret -}}
{{- if and $tls (eq .Values.agents.expose "ingress") (not (contains "{agentId}" $tls)) -}}
{{- $names = append $names $tls -}}
{{- end -}}
{{- if and .Values.caBundle.name (eq .Values.caBundle.kind "Secret") -}}
{{- $names = append $names .Values.caBundle.name -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $names) -}}
{{- end -}}
