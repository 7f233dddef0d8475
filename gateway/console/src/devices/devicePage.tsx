import { useMemo, useState } from 'preact/hooks'
import { useRoute } from 'preact-iso/router'
import { Chart } from '../ui/chart.js'
import { Page, Section } from '../ui/page.js'
import { Table } from '../ui/table.js'
import { Ago, bytes } from '../ui/time.js'
import { useData } from '../ui/useData.js'

interface Entity {
  id: string
  key: string
  name: string
  type: string
  value_type: string
  value_attribute: { unit?: string; enum?: Record<string, string> }
}

interface Device {
  name: string
  integration_name: string
  entities: Entity[]
}

interface Value {
  value: unknown
  updated_at: number | string
}

/** A device, what its entities are at the moment, and how one of them went over the last day. */
export function DevicePage() {
  const { id = '' } = useRoute().params
  const { data, error } = useData<{ data: Device }>(`/device/${id}`)
  const entities = data?.data.entities ?? []
  const ids = entities.map((entity) => entity.id)
  const values = useData<{ data: Record<string, Value> }>(ids.length > 0 ? '/entity/batch-get-status' : undefined, {
    body: { entity_ids: ids },
    everyMs: 3000
  })
  const [shown, setShown] = useState<Entity>()
  return (
    <Page title={data?.data.name ?? 'Device'} error={error}>
      {shown && <History entity={shown} />}
      <Table
        rows={data && entities}
        keyOf={(entity) => entity.id}
        empty="no entities"
        columns={{
          Entity: (entity) => <span title={entity.key}>{entity.name}</span>,
          Value: (entity) => textOf(entity, values.data?.data[entity.id]?.value),
          Changed: (entity) => <Ago at={Number(values.data?.data[entity.id]?.updated_at ?? 0)} />,
          '': (entity) =>
            ['LONG', 'DOUBLE'].includes(entity.value_type) && (
              <button type="button" onClick={() => setShown(entity)}>
                History
              </button>
            )
        }}
      />
    </Page>
  )
}

function textOf({ value_attribute: { unit, enum: words } }: Entity, value: unknown): string {
  if (value === undefined || value === null) return '—'
  if (unit === 'B' && typeof value === 'number') return bytes(value)
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return [words?.[text] ?? text, unit].filter(Boolean).join(' ')
}

const dayMs = 86_400_000

function History({ entity: { id, name } }: { entity: Entity }) {
  const body = useMemo(() => {
    const now = Date.now()
    return { entity_id: id, start_timestamp: now - dayMs, end_timestamp: now, page_number: 1, page_size: 1000 }
  }, [id])
  const { data } = useData<{ data: { content: { timestamp: string; value: unknown }[] } }>('/entity/history/search', {
    body
  })
  const points =
    data?.data.content.map(({ timestamp, value }) => ({ at: Number(timestamp), value: Number(value) })) ?? []
  return (
    <Section title={`${name}, the last day`}>
      <Chart points={points.sort((a, b) => a.at - b.at)} label={name} />
    </Section>
  )
}
