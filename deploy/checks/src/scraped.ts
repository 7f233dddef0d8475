import type { KubeObject } from './objects.js'

interface Monitor {
  jobLabel?: string
  selector: { matchLabels?: Record<string, string>; matchExpressions?: { key: string; values: string[] }[] }
  endpoints: { port: string }[]
}

/** Of expressions only `In`, which is what the files use. */
function selects({ selector }: Monitor, labels: Record<string, string>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector
  const isIn = matchExpressions.every(({ key, values }) => values.includes(labels[key] ?? ''))
  return isIn && Object.entries(matchLabels).every(([key, value]) => labels[key] === value)
}

/** What a Prometheus scrapes by the ServiceMonitors among the objects: the Services with their ports, and the job of each. */
export function scraped(objects: KubeObject[]): { job: string | undefined; name: string; port: string }[] {
  const monitors = objects.filter(({ kind }) => kind === 'ServiceMonitor').map(({ spec }) => spec as unknown as Monitor)
  return monitors.flatMap((monitor) =>
    objects
      .filter(({ kind, metadata }) => kind === 'Service' && selects(monitor, metadata.labels ?? {}))
      .flatMap(({ metadata, spec }) => {
        const ports = ((spec?.ports ?? []) as { name: string }[]).map(({ name }) => name)
        const hit = monitor.endpoints.filter(({ port }) => ports.includes(port))
        return hit.map(({ port }) => ({ job: metadata.labels?.[monitor.jobLabel ?? ''], name: metadata.name, port }))
      })
  )
}
