{{/*
Gives each missing value its default. Values are missing where they are null, and after an upgrade with --reuse-values, which keeps
the values of the older chart. Every template begins with this.
*/}}
{{- define "launchpad.defaults" -}}
{{- range .Files.Get "files/defaults.yaml" | fromYamlArray -}}
{{- $map := $.Values -}}
{{- range initial .at -}}
{{- if kindIs "invalid" (index $map .) -}}
{{- $_ := set $map . dict -}}
{{- end -}}
{{- $map = index $map . -}}
{{- end -}}
{{- if kindIs "invalid" (index $map (last .at)) -}}
{{- $_ := set $map (last .at) .value -}}
{{- end -}}
{{- end -}}
{{- end -}}
