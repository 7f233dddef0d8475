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
  const groups = useData<{ list: Group[] }>('/v1/groups?pageSize=500')
  const files = useData<{ list: StoredFile[] }>('/v1/files?pageSize=200')
  const form = useForm(async (fields, element) => {
    const chosen = new FormData(element)
    const file = chosen.get('upload')
    const sha256 = file instanceof File && file.size > 0 ? (await upload(file)).sha256 : fields.sha256
    const groupIds = chosen.getAll('groups').map(Number)
    if (machines.length + groupIds.length === 0) throw new ApiError(0, 'choose a group or a machine')
    const clientIds = machines.map(({ clientId }) => clientId)
    const jobId = await makeJob({ fields: { ...fields, sha256 }, groupIds, clientIds })
    if (cycle === 'now') return runJob(jobId, route)
    route(`${base}/jobs/${jobId}`)
  })
  const add = async (machine: MachineRow) =>
    setMachines((before) => [...before.filter(({ clientId }) => clientId !== machine.clientId), machine])
  const stored = files.data?.list.map(
    ({ sha256, fileName }) => [sha256, `${fileName} (${sha256.slice(0, 8)})`] as const
  )
  return (
    <Page title="Send and run">
      <form {...form.props}>
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
        <Section title="Where">
          {groups.data?.list.map(({ groupId, groupName }) => (
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
                onClick={() => setMachines((before) => before.filter((one) => one.clientId !== clientId))}
              >
                {mqttClientId} ×
              </button>
            ))}
          </p>
          <MachinePicker act="Choose" onPick={add} />
        </Section>
        <Section title="When">
          <Select name="cycle" label="Run it" value={cycle} onChange={setCycle} options={whens} />
          {cycle !== 'now' && <Field name="executionTime" label="At" hint={hints[cycle]} required />}
          <Field
            name="maxRetries"
            label="Further attempts on a machine where it failed"
            type="number"
            min={0}
            max={10}
            defaultValue={0}
          />
          <Field
            name="perMinute"
            label="New machines per minute"
            hint="0: all at once"
            type="number"
            min={0}
            defaultValue={0}
          />
        </Section>
        <Button form={form}>{cycle === 'now' ? 'Send and run' : 'Schedule'}</Button>
      </form>
    </Page>
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
