import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'
import { parseAllDocuments } from 'yaml'
import { podOfEmqx } from './emqxOperator.js'

/** Any object of a cluster, as far as the checks look into it. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string> }
  spec?: Record<string, unknown>
  data?: Record<string, string>
  automountServiceAccountToken?: boolean
}

interface ValueFrom {
  secretKeyRef?: { name: string; key: string }
  fieldRef?: { fieldPath: string }
}

export interface Container {
  name: string
  image?: string
  env?: { name: string; value?: string; valueFrom?: ValueFrom }[]
  envFrom?: { configMapRef?: { name: string } }[]
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> }
  securityContext?: Record<string, unknown>
  startupProbe?: unknown
  readinessProbe?: unknown
  livenessProbe?: unknown
  lifecycle?: { preStop?: { sleep?: { seconds: number } } }
  ports?: { name: string; containerPort: number }[]
  volumeMounts?: { name: string; mountPath: string }[]
}

export interface PodSpec {
  containers: Container[]
  initContainers?: Container[]
  volumes?: { name: string; configMap?: { name: string } }[]
  securityContext?: Record<string, unknown>
  terminationGracePeriodSeconds?: number
  automountServiceAccountToken?: boolean
}

export const overlays = ['single', 'production'] as const

/** `kubectl` brings kustomize along; either will do. */
export function findKustomize(): string[] | undefined {
  return [
    ['kubectl', 'kustomize'],
    ['kustomize', 'build']
  ].find(([command = '']) => {
    try {
      execFileSync(command, ['version', ...(command === 'kubectl' ? ['--client'] : [])], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
}

export function render(kustomize: string[], overlay: string): KubeObject[] {
  const [command = '', ...args] = kustomize
  const folder = join(workspaceRoot, 'k8s/overlays', overlay)
  const text = execFileSync(command, [...args, folder], { encoding: 'utf8', maxBuffer: 16e6 })
  return parseAllDocuments(text).map((document) => document.toJS() as KubeObject)
}

export function podOf(object: KubeObject): PodSpec | undefined {
  const { kind, spec } = object
  if (kind === 'EMQX') return podOfEmqx(object)
  if (kind === 'MongoDBCommunity')
    return (spec as { statefulSet: { spec: { template: { spec: PodSpec } } } }).statefulSet.spec.template.spec
  if (kind === 'CronJob')
    return (spec as { jobTemplate: { spec: { template: { spec: PodSpec } } } }).jobTemplate.spec.template.spec
  if (!['Deployment', 'StatefulSet', 'Job'].includes(kind)) return undefined
  return (spec as { template: { spec: PodSpec } }).template.spec
}

/** The environment of a container: of config maps, of its own; secrets as a word in their place. */
export function envOf(container: Container, objects: KubeObject[]): NodeJS.ProcessEnv {
  const maps = (container.envFrom ?? []).map(({ configMapRef }) => configMapRef?.name)
  const fromMaps = objects.filter(({ kind, metadata }) => kind === 'ConfigMap' && maps.includes(metadata.name))
  const own = (container.env ?? []).map(({ name, value, valueFrom }) => [
    name,
    value ?? (valueFrom?.secretKeyRef ? 'a-secret-of-the-cluster' : 'a-fact-of-the-pod')
  ])
  return { ...Object.assign({}, ...fromMaps.map(({ data }) => data)), ...Object.fromEntries(own) }
}

/**
 * The container's own variables as the cluster makes them: in their order, `$(NAME)` standing for those before. `facts`
 * has the values of secrets by name and of fields by path.
 */
export function expand({ env = [] }: Container, facts: Record<string, string>): Record<string, string> {
  const known: Record<string, string> = {}
  for (const { name, value, valueFrom } of env) {
    const fact = facts[valueFrom?.secretKeyRef?.name ?? valueFrom?.fieldRef?.fieldPath ?? ''] ?? ''
    known[name] = value?.replaceAll(/\$\((\w+)\)/g, (text, other: string) => known[other] ?? text) ?? fact
  }
  return known
}
