import { Filters } from '../ui/filters.js'
import { Page } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Paged, pageSize } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'

interface DeviceRow {
  id: string
  name: string
  integration_name: string
  identifier: string
  group_name?: string
  created_at: number
}

interface Answer {
  data: { total: number; content: DeviceRow[] }
}

export function DevicesPage() {
  const { page, filters, toPage, filter } = usePlace()
  const body = { name: filters.name, page_number: page, page_size: pageSize }
  const { data, error, reload } = useData<Answer>('/device/search', { body })
  const found = data && { total: data.data.total, list: data.data.content }
  return (
    <Page title="Devices">
      <Filters values={filters} onChange={filter} texts={{ name: 'name contains' }} />
      <Paged
        loaded={{ data: found, error, reload }}
        page={page}
        onPage={toPage}
        keyOf={({ id }) => id}
        empty="no devices"
        columns={{
          Device: ({ id, name }) => <a href={`${base}/devices/${id}`}>{name}</a>,
          Integration: ({ integration_name }) => integration_name,
          Identifier: ({ identifier }) => identifier,
          Group: ({ group_name }) => group_name,
          Added: ({ created_at }) => <Ago at={Number(created_at)} />
        }}
      />
    </Page>
  )
}
