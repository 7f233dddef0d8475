import { Filters } from '../ui/filters.js'
import { Page } from '../ui/page.js'
import { usePlace } from '../ui/place.js'
import { Paged, pageSize } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'

interface Entry {
  id: string
  created_at: string
  service: string
  action: string
  targets: string[]
  email: string
  address: string
  result: string
}

export function AuditPage() {
  const { page, filters, toPage, filter } = usePlace()
  const { service, action, target } = filters
  const body = {
    service: service || undefined,
    action: action || undefined,
    target: target || undefined,
    page_number: page,
    page_size: pageSize
  }
  const { data, error, reload } = useData<{ data: { total: number; content: Entry[] } }>('/user/audit/search', { body })
  return (
    <Page title="Audit">
      <Filters
        values={filters}
        onChange={filter}
        choices={{ service: services }}
        texts={{ action: 'action, as user.create', target: 'id or name concerned' }}
      />
      <Paged
        loaded={{ data: data && { total: data.data.total, list: data.data.content }, error, reload }}
        page={page}
        onPage={toPage}
        keyOf={({ id }) => id}
        empty="no such entries"
        columns={{
          When: ({ created_at }) => <Ago at={Number(created_at)} />,
          Who: ({ email }) => email,
          'From where': ({ address }) => address,
          Where: ({ service: where }) => where,
          What: ({ action: what }) => what,
          'Concerning whom': ({ targets }) => targets.join(', '),
          Result: ({ result }) => result
        }}
      />
    </Page>
  )
}

const services = [
  ['', 'every service'],
  ...(['auth', 'devices', 'scheduler', 'broker-proxy', 'cluster-manager'] as const).map((name) => [name, name] as const)
] as const
