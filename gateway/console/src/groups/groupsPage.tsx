import { useState } from 'preact/hooks'
import { ask, query } from '../api.js'
import { useMay } from '../session/me.js'
import { Filters } from '../ui/filters.js'
import { Button, Field, Select, useForm } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Status } from '../ui/status.js'
import { Paged, pageSize } from '../ui/table.js'
import { useData } from '../ui/useData.js'
import { type GroupRow, ruleOf } from './groupRows.js'

export function GroupsPage() {
  const may = useMay()
  const { page, filters, toPage, filter } = usePlace()
  const path = `/v1/groups/allInfo${query({ groupNameContain: filters.name, pageNo: page, pageSize })}`
  const loaded = useData<{ total: number; list: GroupRow[] }>(path)
  return (
    <Page title="Groups">
      <Filters values={filters} onChange={filter} texts={{ name: 'name contains' }} />
      <Paged
        loaded={loaded}
        page={page}
        onPage={toPage}
        keyOf={({ groupId }) => groupId}
        empty="no groups"
        columns={{
          Group: ({ groupId, groupName }) => <a href={`${base}/groups/${groupId}`}>{groupName}</a>,
          Members: ruleOf,
          Machines: ({ clients }) => clients,
          Jobs: ({ jobs }) => jobs,
          '': ({ enabled }) => !enabled && <Status of="DISABLED" />
        }}
      />
      {may('client.edit') && <NewGroup done={loaded.reload} />}
    </Page>
  )
}

const operations = ['EQ', 'NE', 'CONTAINS', 'STARTS_WITH', 'GT', 'GTE', 'LT', 'LTE', 'IN'].map(
  (word) => [word, word] as const
)

function NewGroup({ done }: { done: () => void }) {
  const [type, setType] = useState('0')
  const form = useForm(async (fields, element) => {
    await ask('/v1/groups', { method: 'POST', body: { ...fields, type: Number(type) } })
    element.reset()
    done()
  })
  return (
    <Section title="New group">
      <form {...form.props}>
        <Field name="groupName" label="Name" required maxLength={128} />
        <Select
          name="type"
          label="Members"
          value={type}
          onChange={setType}
          options={[
            ['0', 'chosen by hand'],
            ['1', 'found by a query, always current']
          ]}
        />
        {type === '1' && (
          <>
            <Field
              name="queryProperty"
              label="Field or attribute"
              hint="status, role, ip, version, os, agentVersion, …"
              required
            />
            <Select name="queryOperation" label="Comparison" options={operations} />
            <Field name="queryValue" label="Value" required />
          </>
        )}
        <Button form={form}>Create</Button>
      </form>
    </Section>
  )
}
