import { query } from '../api.js'
import { useMay } from '../session/me.js'
import { Filters } from '../ui/filters.js'
import { Page } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Paged, pageSize } from '../ui/table.js'
import { useData } from '../ui/useData.js'
import { type MachineRow, machineColumns } from './machineRows.js'

export function MachinesPage() {
  const may = useMay()
  const { page, filters, toPage, filter } = usePlace()
  const { name, status, enabled, attribute, value } = filters
  const asked = {
    mqttClientIdContain: name,
    status,
    enabled,
    attributeName: attribute,
    attributeValueContain: attribute && value
  }
  const path = `/v1/clients/allInfo${query({ ...asked, pageNo: page, pageSize })}`
  const loaded = useData<{ total: number; list: MachineRow[] }>(path, { everyMs: 5000 })
  return (
    <Page
      title="Machines"
      actions={
        may('client.edit') && (
          <a class="button" href={`${base}/machines/new`}>
            Add machines
          </a>
        )
      }
    >
      <Filters
        values={filters}
        onChange={filter}
        texts={{ name: 'name contains', attribute: 'attribute, as os or agentVersion', value: 'its value contains' }}
        choices={{
          status: [
            ['', 'online or not'],
            ['ONLINE', 'online'],
            ['OFFLINE', 'offline']
          ],
          enabled: [
            ['', 'enabled or not'],
            ['true', 'enabled'],
            ['false', 'disabled']
          ]
        }}
      />
      <Paged
        loaded={loaded}
        page={page}
        onPage={toPage}
        columns={machineColumns}
        keyOf={({ clientId }) => clientId}
        empty="no such machines"
      />
    </Page>
  )
}
