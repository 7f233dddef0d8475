import { base } from '../ui/place.js'
import { Status } from '../ui/status.js'
import type { Columns } from '../ui/table.js'
import { Ago } from '../ui/time.js'

/** A row of `/v1/clients` */
export interface MachineRow {
  clientId: number
  mqttClientId: string
  username: string
  enabled: boolean
  status: string
  role: string
  ip: string
  connectedAt: number | null
  disconnectedAt: number | null
}

export function MachineLink({
  machine: { clientId, mqttClientId }
}: {
  machine: Pick<MachineRow, 'clientId' | 'mqttClientId'>
}) {
  return <a href={`${base}/machines/${clientId}`}>{mqttClientId}</a>
}

export const machineColumns: Columns<MachineRow> = {
  Machine: (machine) => <MachineLink machine={machine} />,
  Status: ({ status, enabled }) => (
    <>
      <Status of={status} /> {!enabled && <Status of="DISABLED" />}
    </>
  ),
  Role: ({ role }) => role.toLowerCase(),
  Address: ({ ip }) => ip,
  'Since then': ({ status, connectedAt, disconnectedAt }) => (
    <Ago at={status === 'ONLINE' ? connectedAt : disconnectedAt} />
  )
}
