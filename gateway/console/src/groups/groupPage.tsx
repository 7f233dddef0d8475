import { useRoute } from 'preact-iso/router'
import { ask, query } from '../api.js'
import { MachinePicker } from '../machines/machinePicker.js'
import { type MachineRow, machineColumns } from '../machines/machineRows.js'
import { useMay } from '../session/me.js'
import { Act } from '../ui/form.js'
import { Facts, Page, Section } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Status } from '../ui/status.js'
import { Switches } from '../ui/switches.js'
import { Paged, pageSize } from '../ui/table.js'
import { useData } from '../ui/useData.js'
import { type GroupRow, ruleOf } from './groupRows.js'

export function GroupPage() {
  const { id = '' } = useRoute().params
  const may = useMay()
  const { page, toPage } = usePlace()
  const path = `/v1/groups/${id}`
  const { data, error, reload } = useData<GroupRow>(`${path}/details`)
  const members = useData<{ total: number; list: MachineRow[] }>(
    `${path}/clients${query({ pageNo: page, pageSize })}`,
    { everyMs: 5000 }
  )
  const bind = async (ids: number[], away = '') => {
    await ask(`${path}/clients${away}`, { method: 'PUT', body: ids })
    members.reload()
  }
  const isOpen = data?.type === 0 && may('client.edit')
  const takeOut = {
    ...machineColumns,
    '': ({ clientId }: MachineRow) => <Act act={() => bind([clientId], '/remove')}>Take out</Act>
  }
  return (
    <Page
      title={data?.groupName ?? 'Group'}
      error={error}
      actions={
        data &&
        may('client.edit') && <Switches path={path} isEnabled={data.enabled} reload={reload} list={`${base}/groups`} />
      }
    >
      {data && (
        <section class="card">
          <Facts facts={{ Members: ruleOf(data), Status: data.enabled ? 'enabled' : <Status of="DISABLED" /> }} />
        </section>
      )}
      <Paged
        loaded={members}
        page={page}
        onPage={toPage}
        columns={isOpen ? takeOut : machineColumns}
        keyOf={({ clientId }) => clientId}
        empty="no machines"
      />
      {isOpen && (
        <Section title="Put machines in">
          <MachinePicker act="Put in" onPick={({ clientId }) => bind([clientId])} />
        </Section>
      )}
    </Page>
  )
}
