import { query } from '../api.js'
import { Filters } from '../ui/filters.js'
import { Page } from '../ui/page.js'
import { usePlace } from '../ui/place.js'
import { Paged, pageSize } from '../ui/table.js'
import { useData } from '../ui/useData.js'
import { type RunRow, runColumns, statusChoices } from './runRows.js'

export function RunsPage() {
  const { page, filters, toPage, filter } = usePlace()
  const { status } = filters
  const path = `/v1/logs/jobs${query({ pageNo: page, pageSize, status })}`
  const loaded = useData<{ total: number; list: RunRow[] }>(path, { everyMs: 3000 })
  return (
    <Page title="Runs">
      <Filters values={filters} onChange={filter} choices={{ status: statusChoices }} />
      <Paged
        loaded={loaded}
        page={page}
        onPage={toPage}
        columns={runColumns}
        keyOf={({ runId }) => runId}
        empty="no such runs"
      />
    </Page>
  )
}
