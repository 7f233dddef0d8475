import { useLocation, useRoute } from 'preact-iso/router'
import { ask, query } from '../api.js'
import { MachinePicker } from '../machines/machinePicker.js'
import { type MachineRow, machineColumns } from '../machines/machineRows.js'
import { type RunRow, runColumns } from '../runs/runRows.js'
import { useMay } from '../session/me.js'
import { Act } from '../ui/form.js'
import { Facts, Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'
import { Switches } from '../ui/switches.js'
import { Table } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'
import { runJob } from './runJob.js'
import { scheduleOf } from './schedule.js'

interface Job {
  general: { jobName: string; description: string; enabled: boolean; createdAt: number }
  executionOpt: {
    priority: number
    maxRetries: number
    cycleType: number
    executionTime: string
    nextRunAt: number | null
    maxConcurrentSession: number
  }
}

export function JobPage() {
  const { id = '' } = useRoute().params
  const jobId = Number(id)
  const may = useMay()
  const { route } = useLocation()
  const { data, error, reload } = useData<Job>(`/v1/jobs/${id}/details`)
  const runs = useData<{ list: RunRow[] }>(`/v1/logs/jobs${query({ jobId: id, pageSize: 20 })}`, { everyMs: 3000 })
  return (
    <Page
      title={data?.general.jobName ?? 'Job'}
      error={error}
      actions={
        data && (
          <>
            {may('job.run') && data.general.enabled && <Act act={() => runJob(jobId, route)}>Run now</Act>}
            {may('job.edit') && (
              <Switches
                path={`/v1/jobs/${id}`}
                isEnabled={data.general.enabled}
                reload={reload}
                list={`${base}/jobs`}
              />
            )}
          </>
        )
      }
    >
      {data && <About job={data} />}
      <Tasks id={id} />
      <Targets id={id} />
      <Section title="Latest runs">
        <Table columns={runColumns} rows={runs.data?.list} keyOf={({ runId }) => runId} empty="has not run yet" />
      </Section>
    </Page>
  )
}

function About({ job: { general, executionOpt } }: { job: Job }) {
  const { priority, maxRetries, nextRunAt, maxConcurrentSession } = executionOpt
  return (
    <section class="card">
      <Facts
        facts={{
          About: general.description,
          Schedule: scheduleOf(executionOpt),
          Next: nextRunAt && <Ago at={nextRunAt} />,
          Priority: priority || undefined,
          'Further attempts': maxRetries || undefined,
          'At most at work': maxConcurrentSession || undefined,
          Created: <Ago at={general.createdAt} />
        }}
      />
    </section>
  )
}

function Tasks({ id }: { id: string }) {
  const { data } = useData<{ list: { taskId: number; taskName: string }[] }>(`/v1/jobs/${id}/tasks?pageSize=100`)
  return (
    <>
      {data?.list.map(({ taskId, taskName }) => (
        <Section key={taskId} title={`Task: ${taskName}`}>
          <Steps taskId={taskId} />
        </Section>
      ))}
    </>
  )
}

interface Step {
  scriptId: number
  type: string
  filePath?: string
  targetFilePath?: string
  arguments?: string[]
  conditions?: Step[]
  true?: Step[]
  false?: Step[]
}

function Steps({ taskId }: { taskId: number }) {
  const { data } = useData<{ scripts: Step[] }>(`/v1/tasks/${taskId}/scripts`)
  return <StepList steps={data?.scripts ?? []} />
}

function StepList({ steps }: { steps: readonly Step[] }) {
  return (
    <ol class="steps">
      {steps.map((step) => (
        <li key={step.scriptId}>
          <b>{step.type}</b> {[step.filePath, ...(step.arguments ?? [])].filter(Boolean).join(' ')}
          {step.targetFilePath && ` → ${step.targetFilePath}`}
          {step.conditions && <StepList steps={step.conditions} />}
          {step.true && step.true.length > 0 && (
            <>
              then
              <StepList steps={step.true} />
            </>
          )}
          {step.false && step.false.length > 0 && (
            <>
              else
              <StepList steps={step.false} />
            </>
          )}
        </li>
      ))}
    </ol>
  )
}

function Targets({ id }: { id: string }) {
  const may = useMay()
  const path = `/v1/jobs/${id}`
  const groups = useData<{ list: { groupId: number; groupName: string }[] }>(`${path}/groups?pageSize=200`)
  const machines = useData<{ total: number; list: MachineRow[] }>(`${path}/clients?pageSize=20`)
  const bind = async (ids: number[], away = '') => {
    await ask(`${path}/clients${away}`, { method: 'PUT', body: ids })
    machines.reload()
  }
  const columns = may('job.edit')
    ? {
        ...machineColumns,
        '': ({ clientId }: MachineRow) => <Act act={() => bind([clientId], '/remove')}>Take out</Act>
      }
    : machineColumns
  const more = (machines.data?.total ?? 0) - (machines.data?.list.length ?? 0)
  return (
    <Section title="Where it runs">
      {groups.data && groups.data.list.length > 0 && (
        <p>
          Groups:{' '}
          {groups.data.list.map(({ groupId, groupName }) => (
            <a key={groupId} class="chip" href={`${base}/groups/${groupId}`}>
              {groupName}
            </a>
          ))}
        </p>
      )}
      <Table
        columns={columns}
        rows={machines.data?.list}
        keyOf={({ clientId }) => clientId}
        empty="no machine bound directly"
      />
      {more > 0 && <p>and {more.toLocaleString('en')} more</p>}
      {may('job.edit') && <MachinePicker act="Bind" onPick={({ clientId }) => bind([clientId])} />}
    </Section>
  )
}
