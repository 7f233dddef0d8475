import { useState } from 'preact/hooks'
import { query } from '../api.js'
import { Act } from '../ui/form.js'
import { Table } from '../ui/table.js'
import { useData } from '../ui/useData.js'
import { type MachineRow, machineColumns } from './machineRows.js'

interface PickerProps {
  /** What the button beside a machine says. */
  act: string
  onPick: (machine: MachineRow) => Promise<unknown>
}

/** Looks machines up by a part of their name, the first ten. */
export function MachinePicker({ act, onPick }: PickerProps) {
  const [name, setName] = useState('')
  const path = name === '' ? undefined : `/v1/clients${query({ mqttClientIdContain: name, pageSize: 10 })}`
  const { data } = useData<{ list: MachineRow[] }>(path)
  const { Machine, Status } = machineColumns
  return (
    <>
      <input
        type="search"
        placeholder="look for machines by name"
        aria-label="look for machines by name"
        value={name}
        onInput={(event) => setName(event.currentTarget.value.trim())}
      />
      {name !== '' && (
        <Table
          rows={data?.list}
          keyOf={({ clientId }) => clientId}
          empty="no such machines"
          columns={{
            ...(Machine && Status ? { Machine, Status } : {}),
            '': (machine) => <Act act={() => onPick(machine)}>{act}</Act>
          }}
        />
      )}
    </>
  )
}
