import { useState } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import { ApiError } from '../api.js'
import { type StoredFile, upload } from '../files/upload.js'
import { MachinePicker } from '../machines/machinePicker.js'
import type { MachineRow } from '../machines/machineRows.js'
import { Button, Field, Select, useForm } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'
import { useData } from '../ui/useData.js'
import { makeJob } from './makeJob.js'
import { runJob } from './runJob.js'

interface Group {
  groupId: number
  groupName: string
}

/** The main job in one form: a file to machines, a program there, now or at a time. */
export function NewJobPage() {
  const { route } = useLocation()
  const [machines, setMachines] = useState<MachineRow[]>([])
  const [cycle, setCycle] = useState('now')
  const form = useForm(async (fields, element) => {
    const chosen = new FormData(element)
    const groupIds = chosen.getAll('groups').map(Number)
    // Before a file is sent up for nothing.
    if (machines.length + groupIds.length === 0) throw new ApiError(0, 'choose a group or a machine')
    const file = chosen.get('upload')
    const sha256 = file instanceof File && file.size > 0 ? (await upload(file)).sha256 : fields.sha256
    const clientIds = machines.map(({ clientId }) => clientId)
    const jobId = await makeJob({ fields: { ...fields, sha256 }, groupIds, clientIds })
    if (cycle === 'now') return runJob(jobId, route)
    route(`${base}/jobs/${jobId}`)
  })
  return (
    <Page title="Send and run">
      <form {...form.props}>
        <What />
        <Where machines={machines} onChange={setMachines} />
        <When cycle={cycle} onCycle={setCycle} />
        <Button form={form}>{cycle === 'now' ? 'Send and run' : 'Schedule'}</Button>
      </form>
    </Page>
  )
}

function What() {
  const { data } = useData<{ list: StoredFile[] }>('/v1/files?pageSize=200')
  const stored = data?.list.map(({ sha256, fileName }) => [sha256, `${fileName} (${sha256.slice(0, 8)})`] as const)
  return (
    <Section title="What">
      <Field name="jobName" label="Name of the job" required maxLength={128} />
      <Field name="upload" label="A file from this computer" type="file" />
      <Select name="sha256" label="or one that is stored already" options={[['', 'none'], ...(stored ?? [])]} />
      <Field
        name="target"
        label="Where it goes on the machines"
        hint="below a root of the agent; a folder ends with /"
      />
      <Field name="program" label="A program to run then" hint="in a folder of programs of the agent" />
      <Field name="arguments" label="Its arguments" hint="separated by blanks" />
    </Section>
  )
}

/** Groups are fields of the form; machines are looked up, and kept by the page. */
function Where({ machines, onChange }: { machines: MachineRow[]; onChange: (machines: MachineRow[]) => void }) {
  const { data } = useData<{ list: Group[] }>('/v1/groups?pageSize=500')
  const without = (id: number) => machines.filter(({ clientId }) => clientId !== id)
  return (
    <Section title="Where">
      {data?.list.map(({ groupId, groupName }) => (
        <label key={groupId} class="check">
          <input type="checkbox" name="groups" value={groupId} /> {groupName}
        </label>
      ))}
      <p>
        {machines.map(({ clientId, mqttClientId }) => (
          <button
            key={clientId}
            type="button"
            class="chip"
            title="take out"
            onClick={() => onChange(without(clientId))}
          >
            {mqttClientId} ×
          </button>
        ))}
      </p>
      <MachinePicker act="Choose" onPick={async (machine) => onChange([...without(machine.clientId), machine])} />
    </Section>
  )
}

function When({ cycle, onCycle }: { cycle: string; onCycle: (cycle: string) => void }) {
  const count = { type: 'number', min: 0, defaultValue: 0 } as const
  return (
    <Section title="When">
      <Select name="cycle" label="Run it" value={cycle} onChange={onCycle} options={whens} />
      {cycle !== 'now' && <Field name="executionTime" label="At" hint={hints[cycle]} required />}
      <Field name="maxRetries" label="Further attempts on a machine where it failed" max={10} {...count} />
      <Field name="perMinute" label="New machines per minute" hint="0: all at once" {...count} />
    </Section>
  )
}

const whens = [
  ['now', 'now'],
  ['0', 'once, later'],
  ['1', 'each hour'],
  ['2', 'each day'],
  ['3', 'on days of the week'],
  ['4', 'on days of the month'],
  ['5', 'by a cron expression']
] as const

const hints: Record<string, string> = {
  '0': '2027-01-31T03:00:00Z',
  '1': 'the minute: 05',
  '2': '03:30',
  '3': '1,3,5 03:30; 1 is Monday',
  '4': '1,15 03:30; L is the last day',
  '5': '0 3 * * 1'
}
