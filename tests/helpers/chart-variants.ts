// Values that operators give, each of which must make objects that an API server takes; tests render them with both majors of Helm.
import { join } from "node:path";
import { CHART } from "./chart.ts";

export interface Variant {
  values: object;
  /** Files of values of the chart's own. */
  files?: string[];
}

const CA = {
  extraVolumes: [{ name: "ca", configMap: { name: "company-ca" } }],
  extraVolumeMounts: [{ name: "ca", mountPath: "/etc/company-ca", readOnly: true }],
  extraEnv: [{ name: "NODE_EXTRA_CA_CERTS", value: "/etc/company-ca/ca.crt" }],
};

export const VARIANTS: Record<string, Variant> = {
  "the least": { values: {} },
  "pull secrets as objects": {
    values: {
      imagePullSecrets: [{ name: "registry" }],
      agents: { imagePullSecrets: [{ name: "registry" }] },
    },
  },
  "pull secrets as names": {
    values: { imagePullSecrets: ["registry"], agents: { imagePullSecrets: ["registry", { name: "other" }] } },
  },
  nameOverride: { values: { nameOverride: "agents" } },
  fullnameOverride: { values: { fullnameOverride: "the-controller" } },
  "labels and annotations everywhere": {
    values: {
      commonLabels: { team: "platform", "app.kubernetes.io/name": "not-ours" },
      podLabels: { "sidecar.istio.io/inject": "false", "app.kubernetes.io/instance": "not-ours" },
      podAnnotations: { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" },
      deploymentAnnotations: { "reloader.stakater.com/auto": "true" },
      service: { labels: { a: "b" }, annotations: { c: "d" } },
      serviceAccount: { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x" } },
    },
  },
  placement: {
    values: {
      nodeSelector: { "kubernetes.io/os": "linux" },
      tolerations: [{ key: "dedicated", operator: "Equal", value: "agents", effect: "NoSchedule" }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: "kubernetes.io/arch", operator: "In", values: ["amd64"] }] },
            ],
          },
        },
      },
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "DoNotSchedule" },
      ],
      priorityClassName: "system-cluster-critical",
      schedulerName: "default-scheduler",
      runtimeClassName: "gvisor",
    },
  },
  "an existing service account": { values: { serviceAccount: { create: false, name: "mine" } } },
  "a named service account": { values: { serviceAccount: { name: "mine", annotations: { a: "b" } } } },
  "a token by a projected volume": {
    values: {
      serviceAccount: { automount: false },
      extraVolumes: [
        {
          name: "token",
          projected: {
            sources: [
              { serviceAccountToken: { path: "token", expirationSeconds: 600 } },
              { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
            ],
          },
        },
      ],
      extraVolumeMounts: [{ name: "token", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }],
    },
  },
  "a private certificate authority by volumes": { values: CA },
  "a private certificate authority for all": {
    values: { caBundle: { name: "company-ca" }, agents: { imagePullSecrets: ["registry"] } },
  },
  "a private certificate authority in a Secret": {
    values: { caBundle: { kind: "Secret", name: "company-ca", key: "bundle.pem" } },
  },
  "a certificate for all agents": { values: { agents: { ingressTlsSecret: "agents-tls" } } },
  "a certificate for each agent": {
    values: {
      agents: {
        ingressTlsSecret: "{agentId}-tls",
        ingressAnnotations: { "cert-manager.io/cluster-issuer": "letsencrypt" },
      },
    },
  },
  "nothing copied": {
    values: {
      agents: { copySecrets: false, imagePullSecrets: ["registry"], ingressTlsSecret: "agents-tls" },
      caBundle: { name: "company-ca" },
    },
  },
  "an environment over ours": {
    values: {
      extraEnv: [
        { name: "LAUNCHPAD_LOG_LEVEL", value: "debug" },
        { name: "HTTPS_PROXY", value: "http://egress.example.com:3128" },
        {
          name: "LAUNCHPAD_SECRET_KEY",
          valueFrom: { secretKeyRef: { name: "vault", key: "supabase" } },
        },
      ],
    },
  },
  "security contexts": {
    values: {
      podSecurityContext: { runAsUser: 1000, fsGroupChangePolicy: "OnRootMismatch", supplementalGroups: [5] },
      containerSecurityContext: { seLinuxOptions: { level: "s0:c1,c2" } },
      agents: { podSecurityContext: { runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 } },
    },
  },
  OpenShift: { values: {}, files: [join(CHART, "openshift-values.yaml")] },
  "dual stack": { values: { service: { ipFamilyPolicy: "PreferDualStack", ipFamilies: ["IPv6", "IPv4"] } } },
  "IPv6 alone": {
    values: {
      service: { ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv6"] },
      dns: { cidrs: ["fd00:10:96::a/128"] },
      supabase: { url: "https://[fd00:1::5]:8443", cidrs: ["fd00:1::5/128"] },
      agents: { egress: { cidrs: ["::/0"], exceptCidrs: ["2001:db8::/32"] }, ingressCidrs: ["fd00:2::/64"] },
    },
  },
  "a load balancer": {
    values: {
      service: {
        type: "LoadBalancer",
        port: 443,
        nodePort: 30443,
        externalTrafficPolicy: "Local",
        loadBalancerClass: "example.com/lb",
        loadBalancerSourceRanges: ["203.0.113.0/24"],
      },
    },
  },
  "one replica": { values: { replicas: 1, strategy: { type: "Recreate", rollingUpdate: null } } },
  "a budget in percent": { values: { podDisruptionBudget: { minAvailable: "50%" } } },
  "a budget by number": { values: { podDisruptionBudget: { maxUnavailable: 2 }, replicas: 3 } },
  "no budget": { values: { podDisruptionBudget: { enabled: false } } },
  "probes and resources": {
    values: {
      readinessProbe: { periodSeconds: 20 },
      startupProbe: { initialDelaySeconds: 3 },
      resources: { limits: { memory: "1Gi", "ephemeral-storage": "1Gi" } },
      revisionHistoryLimit: 3,
    },
  },
  "names and hosts": {
    values: {
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["10.0.0.10"], searches: ["svc.cluster.local"] },
      hostAliases: [{ ip: "10.0.0.5", hostnames: ["project.example.com"] }],
    },
  },
  "more containers": {
    values: {
      extraContainers: [{ name: "proxy", image: "example/proxy:1" }],
      extraInitContainers: [{ name: "wait", image: "example/wait:1" }],
    },
  },
  "more objects": {
    values: {
      extraObjects: [
        {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "extra", namespace: "launchpad-system" },
          data: { release: "{{ .Release.Name }}" },
        },
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\n  namespace: {{ .Release.Namespace }}\ndata:\n  of: {{ include "launchpad.name" . }}',
      ],
    },
  },
  "a webhook from outside": {
    values: {
      webhook: {
        ingress: {
          enabled: true,
          host: "hooks.example.com",
          className: "nginx",
          tlsSecret: "hooks",
          annotations: { "cert-manager.io/cluster-issuer": "letsencrypt" },
          labels: { a: "b" },
        },
      },
    },
  },
  "agents by a Gateway": {
    values: { agents: { expose: "gateway", gateway: { namespace: "gateways", name: "public" } } },
  },
  "a dashboard in another namespace": {
    values: {
      dashboard: { enabled: true, namespace: "kube-public", annotations: { grafana_folder: "Agents" } },
    },
  },
  "agents in a sandbox, on nodes of their own": {
    values: {
      agents: {
        runtimeClassName: "gvisor",
        priorityClassName: "low",
        nodeSelector: { pool: "agents" },
        tolerations: [{ key: "agents", operator: "Exists", effect: "NoSchedule" }],
        affinity: {
          podAntiAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 1, podAffinityTerm: { topologyKey: "kubernetes.io/hostname" } },
            ],
          },
        },
        labels: { team: "platform" },
        annotations: { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" },
        hostUsers: false,
      },
    },
  },
  "rollouts at once": { values: { agents: { rollout: { percent: 100, maxFailures: 5, soakSeconds: 0 } } } },
  "agents from inside alone": { values: { agents: { expose: "none" } } },
  "no network policy": { values: { networkPolicy: { enabled: false } } },
  "DNS by labels": { values: { dns: { podLabels: { "k8s-app": "kube-dns" }, cidrs: [] } } },
};
