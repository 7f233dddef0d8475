import { ask, query } from '../api.js'
import { useMay } from '../session/me.js'
import { Act } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { usePlace } from '../ui/place.js'
import { Paged, pageSize, Table } from '../ui/table.js'
import { useData } from '../ui/useData.js'

interface NodeRow {
  name: string
  clients: number
  node_status: string
  memory_used: string
  load1: string
}

interface ClientRow {
  client_id: string
  username: string
  ipaddress: string
  clean_sess: boolean
  keepalive: number
  connected_at: string
}

interface Connected {
  result: { total_num: number; objects: ClientRow[] }
}

/** The broker's nodes, and who is connected to the one that was chosen. */
export function BrokerPage() {
  const { filters, page, toPage, filter } = usePlace()
  const { data, error } = useData<{ result: NodeRow[] }>('/api/v2/monitoring/nodes', { everyMs: 5000 })
  const node = filters.node ?? data?.result[0]?.name
  return (
    <Page title="Broker" error={error}>
      <Table
        rows={error && !data ? [] : data?.result}
        keyOf={({ name }) => name}
        columns={{
          Node: ({ name }) => (
            <button type="button" class="link" onClick={() => filter({ node: name })}>
              {name}
            </button>
          ),
          State: ({ node_status }) => node_status,
          Connected: ({ clients }) => clients,
          Memory: ({ memory_used }) => memory_used,
          Load: ({ load1 }) => load1
        }}
      />
      {node && <Clients node={node} page={page} onPage={toPage} />}
    </Page>
  )
}

function Clients({ node, page, onPage }: { node: string; page: number; onPage: (page: number) => void }) {
  const may = useMay()
  const path = `/api/v2/nodes/${encodeURIComponent(node)}/clients${query({ curr_page: page, page_size: pageSize })}`
  const { data, error, reload } = useData<Connected>(path, { everyMs: 5000 })
  const kick = async (id: string) => {
    await ask(`/api/v2/clients/${encodeURIComponent(id)}`, { method: 'DELETE' })
    reload()
  }
  return (
    <Section title={`Connected to ${node}`}>
      <Paged
        loaded={{ data: data && { total: data.result.total_num, list: data.result.objects }, error, reload }}
        page={page}
        onPage={onPage}
        keyOf={({ client_id }) => client_id}
        empty="nobody is connected"
        columns={{
          Client: ({ client_id }) => client_id,
          User: ({ username }) => username,
          Address: ({ ipaddress }) => ipaddress,
          Session: ({ clean_sess }) => (clean_sess ? 'clean' : 'kept'),
          'Connected at': ({ connected_at }) => connected_at,
          '': ({ client_id }) =>
            may('broker.edit') && (
              <Act act={() => kick(client_id)} confirm="Really end it?">
                End connection
              </Act>
            )
        }}
      />
    </Section>
  )
}
