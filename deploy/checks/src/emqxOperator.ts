import { confOf } from './missingOfEmqx.js'
import type { Container, KubeObject, PodSpec } from './objects.js'
import { anything, count, flag, list, name, object, strictCheck, text } from './strictCheck.js'

const keyOfSecret = object({ secretName: name, secretKey: text }, ['secretName', 'secretKey'])
const apiKey = object({
  key: text,
  secret: text,
  secretRef: object({ key: keyOfSecret, secret: keyOfSecret }, ['key', 'secret'])
})
const service = object({ enabled: flag, metadata: anything, spec: anything })
const countOrShare = { anyOf: [count, text] }

/** What a node's pod and its one claim are made of, which `partsOfEmqx` holds against the cluster's own kinds. */
const nodes = {
  nodeSelector: anything,
  nodeName: text,
  affinity: anything,
  tolerations: list(anything),
  topologySpreadConstraints: list(anything),
  replicas: count,
  minAvailable: countOrShare,
  maxUnavailable: countOrShare,
  command: list(text),
  args: list(text),
  ports: list(anything),
  env: list(anything),
  envFrom: list(anything),
  resources: anything,
  podSecurityContext: anything,
  containerSecurityContext: anything,
  initContainers: list(anything),
  extraContainers: list(anything),
  extraVolumes: list(anything),
  extraVolumeMounts: list(anything),
  livenessProbe: anything,
  readinessProbe: anything,
  startupProbe: anything,
  lifecycle: anything
}
const metadata = object({ name, labels: anything, annotations: anything })

/** Fields of apps.emqx.io/v2beta1 as its operator 2.2 documents them. */
const spec = object(
  {
    image: text,
    imagePullPolicy: { enum: ['Always', 'Never', 'IfNotPresent'] },
    imagePullSecrets: list(object({ name })),
    serviceAccountName: name,
    bootstrapAPIKeys: list(apiKey),
    config: object({ mode: { enum: ['Merge', 'Replace'] }, data: text }),
    clusterDomain: text,
    revisionHistoryLimit: count,
    updateStrategy: anything,
    coreTemplate: object({ metadata, spec: object({ ...nodes, volumeClaimTemplates: anything }) }),
    replicantTemplate: object({ metadata, spec: object(nodes) }),
    dashboardServiceTemplate: service,
    listenersServiceTemplate: service
  },
  ['image']
)

interface Core extends Record<string, unknown> {
  replicas: number
  maxUnavailable: number
  podSecurityContext: Record<string, unknown>
  volumeClaimTemplates: object
}

interface EmqxSpec {
  image: string
  config: { data: string }
  coreTemplate: { metadata: { labels: Record<string, string> }; spec: Core }
}

/** What is wrong with what the operator itself reads; undefined where nothing is. */
export const emqxFlaw = strictCheck(spec)

/** The pod that the operator makes for a node, as far as we say what is in it. */
export function podOfEmqx({ spec }: KubeObject): PodSpec {
  const { image, coreTemplate } = spec as unknown as EmqxSpec
  const core = coreTemplate.spec as Core & Record<string, never>
  const container: Container = {
    name: 'emqx',
    image,
    securityContext: core.containerSecurityContext,
    volumeMounts: core.extraVolumeMounts,
    ports: core.ports,
    env: core.env,
    resources: core.resources,
    startupProbe: core.startupProbe,
    readinessProbe: core.readinessProbe,
    livenessProbe: core.livenessProbe,
    lifecycle: core.lifecycle
  }
  const constraints = { topologySpreadConstraints: core.topologySpreadConstraints }
  const pod = { containers: [container], volumes: core.extraVolumes, securityContext: core.podSecurityContext }
  return { ...pod, ...constraints }
}

/** The parts that the operator hands on to the cluster, as objects of the cluster's own kinds. */
export function partsOfEmqx(emqx: KubeObject): KubeObject[] {
  const { metadata, spec } = emqx
  const { coreTemplate } = spec as unknown as EmqxSpec
  const { replicas, maxUnavailable, volumeClaimTemplates } = coreTemplate.spec
  const selector = { matchLabels: coreTemplate.metadata.labels }
  const template = { spec: podOfEmqx(emqx) }
  const set = { serviceName: metadata.name, replicas, selector, template }
  return [
    { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata, spec: set as unknown as Record<string, unknown> },
    { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: { ...volumeClaimTemplates } },
    { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata, spec: { selector, maxUnavailable } }
  ]
}

/** The configuration of a node: what the operator gives it, and what stands in the environment under `EMQX_<path>`. */
export function confOfEmqx(emqx: KubeObject): string {
  const { config } = emqx.spec as unknown as EmqxSpec
  const env = podOfEmqx(emqx).containers[0]?.env ?? []
  const variables = env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const]))
  return [config.data, confOf(variables)].join('\n')
}
