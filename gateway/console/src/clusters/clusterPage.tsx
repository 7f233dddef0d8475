import { useRoute } from 'preact-iso/router'
import { ask } from '../api.js'
import { useMay } from '../session/me.js'
import { Act } from '../ui/form.js'
import { Facts, Page, Section } from '../ui/page.js'
import { Standing, Status } from '../ui/status.js'
import { Table } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'

interface Cluster {
  name: string
  owner: string
  status: string
  profile: string
  createCategory: string
  endPoint: string
  warning?: string
  operationId?: string
}

interface Host {
  hostId: string
  hostName: string
  ip: string
  status: string
  isMasterNode: boolean
  isSharedNode: boolean
  cpu: string
  memory: string
  message?: string
}

interface Component {
  componentName: string
  ip: string
  status: string
}

interface Operation {
  kind: string
  state: string
  message?: string
  phase?: string
  phases: { name: string; state: string }[]
  problems: { ip?: string; message: string }[]
  time_create: string
  time_end?: string
}

export function ClusterPage() {
  const { id = '' } = useRoute().params
  const path = `/v1/cluster/${id}`
  const may = useMay()
  const { data, error, reload } = useData<{ data: Cluster }>(path, { everyMs: 3000 })
  const hosts = useData<{ data: Host[] }>(`${path}/hosts?limit=200`, { everyMs: 3000 })
  const cluster = data?.data
  return (
    <Page
      title={cluster?.name ?? 'Cluster'}
      error={error}
      actions={cluster && may('cluster.edit') && <Orders path={path} status={cluster.status} reload={reload} />}
    >
      {cluster && (
        <section class="card">
          <Facts
            facts={{
              Status: <Standing of={cluster.status} />,
              Profile: `${cluster.profile} ${cluster.createCategory}`,
              Address: cluster.endPoint,
              Owner: cluster.owner,
              Warning: cluster.warning
            }}
          />
        </section>
      )}
      {cluster?.operationId && <Latest id={cluster.operationId} />}
      <Section title="Hosts">
        <Table
          rows={hosts.data?.data}
          keyOf={({ hostId }) => hostId}
          empty={hosts.error?.message ?? 'no hosts'}
          columns={{
            Host: ({ hostName, ip }) => hostName || ip,
            Address: ({ ip }) => ip,
            Part: ({ isMasterNode, isSharedNode }) => (isMasterNode ? 'master' : isSharedNode ? 'shared' : 'worker'),
            Status: ({ status }) => <Standing of={status} />,
            Processor: ({ cpu }) => cpu,
            Memory: ({ memory }) => memory,
            '': ({ message }) => message
          }}
        />
      </Section>
      {cluster?.status === 'RUNNING' && <Components path={path} />}
    </Page>
  )
}

function Orders({ path, status, reload }: { path: string; status: string; reload: () => void }) {
  const order =
    (method: string, below = '') =>
    async () => {
      await ask(path + below, { method })
      reload()
    }
  if (status === 'TERMINATED' || status === 'TERMINATING') return null
  return (
    <>
      {status === 'RUNNING' && <Act act={order('POST', '/apply')}>Apply</Act>}
      <Act act={order('DELETE')} confirm="Really take it off its hosts?">
        Delete
      </Act>
    </>
  )
}

/** Asked of every host, so only once and when it is wanted. */
function Components({ path }: { path: string }) {
  const { data, error, reload } = useData<{ data: { componentStatus: Component[] } }>(`${path}/components`)
  return (
    <Section title="Components">
      <Table
        rows={error ? [] : data?.data.componentStatus}
        keyOf={({ componentName, ip }) => componentName + ip}
        empty={error?.message ?? 'none'}
        columns={{
          Component: ({ componentName }) => componentName,
          Host: ({ ip }) => ip,
          Health: ({ status }) => <Status of={status} />
        }}
      />
      <button type="button" onClick={reload}>
        Ask again
      </button>
    </Section>
  )
}

const canRetry = ['FAILED', 'CANCELLED']
const ended = ['SUCCESS', ...canRetry]

function Latest({ id }: { id: string }) {
  const may = useMay()
  const path = `/v1/operations/${id}`
  const { data, error, reload } = useData<{ data: Operation }>(path, { everyMs: 2000 })
  const operation = data?.data
  if (!operation) return error ? <p class="failure">{error.message}</p> : null
  const order = (word: 'cancel' | 'retry') => async () => {
    await ask(`${path}/${word}`, { method: 'POST' })
    reload()
  }
  return (
    <Section title={`Latest operation: ${operation.kind.toLowerCase().replaceAll('_', ' ')}`}>
      <p>
        <Status of={operation.state} /> <Ago at={Date.parse(operation.time_end ?? operation.time_create)} />{' '}
        {operation.message}
      </p>
      <ol class="phases">
        {operation.phases.map(({ name, state }) => (
          <li key={name}>
            {name} <Status of={state} />
          </li>
        ))}
      </ol>
      <ul>
        {operation.problems.map(({ ip, message }) => (
          <li key={`${ip} ${message}`}>
            {ip} {message}
          </li>
        ))}
      </ul>
      {may('cluster.edit') && !ended.includes(operation.state) && (
        <Act act={order('cancel')} confirm="Really cancel?">
          Cancel
        </Act>
      )}
      {may('cluster.edit') && canRetry.includes(operation.state) && <Act act={order('retry')}>Retry</Act>}
    </Section>
  )
}
