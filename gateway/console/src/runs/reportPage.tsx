import { useRoute } from 'preact-iso/router'
import { query } from '../api.js'
import { Failure } from '../ui/failure.js'
import { Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'
import { Status } from '../ui/status.js'
import { Table } from '../ui/table.js'
import { Took } from '../ui/time.js'
import { useData } from '../ui/useData.js'
import { runLink } from './runRows.js'

interface TaskRow {
  taskId: number
  taskName: string
  status: string
  message: string | null
}

interface StepRow {
  scriptId: number
  type: string
  status: string
  startTime: number | null
  endTime: number | null
  messages: { message: string; startTime: number }[]
  output: string | null
  isItem: boolean
}

/** What one machine reported of one run: each task, each step, each message. */
export function ReportPage() {
  const { jobId = '', runId = '', clientId = '', reportId = '' } = useRoute().params
  const of = { jobId, clientId, reportId: decodeURIComponent(reportId) }
  const machine = useData<{ mqttClientId: string }>(`/v1/clients/${clientId}/details`)
  const tasks = useData<{ list: TaskRow[] }>(`/v1/logs/jobs/clients/tasks${query({ ...of, pageSize: 100 })}`, {
    everyMs: 2000
  })
  return (
    <Page
      title={machine.data?.mqttClientId ?? `Machine ${clientId}`}
      error={tasks.error}
      actions={
        <>
          <a href={runLink({ jobId: Number(jobId), runId })}>The whole run</a>
          <a href={`${base}/machines/${clientId}`}>The machine</a>
        </>
      }
    >
      {tasks.data?.list.length === 0 && <p class="none">nothing has been reported yet</p>}
      {tasks.data?.list.map((task) => (
        <Section key={task.taskId} title={task.taskName}>
          <p>
            <Status of={task.status} /> {task.message}
          </p>
          <Steps of={of} taskId={task.taskId} />
        </Section>
      ))}
    </Page>
  )
}

function Steps({ of, taskId }: { of: Record<string, string>; taskId: number }) {
  const path = `/v1/logs/jobs/clients/tasks/scripts${query({ ...of, taskId, pageSize: 500 })}`
  const { data, error } = useData<{ data: { list: StepRow[] } }>(path, { everyMs: 2000 })
  return (
    <>
      <Failure error={error} />
      <Table
        rows={data?.data.list}
        keyOf={({ scriptId }) => scriptId}
        columns={{
          Step: ({ type, isItem }) => <span class={isItem ? 'item' : ''}>{type}</span>,
          Status: ({ status }) => <Status of={status} />,
          Took: ({ startTime, endTime }) => <Took from={startTime} to={endTime} />,
          'What happened': (step) => <Said step={step} />
        }}
      />
    </>
  )
}

/** Messages in the order in which they came; the output of a program as it stands. */
function Said({ step: { messages, output } }: { step: StepRow }) {
  return (
    <>
      <ul class="messages">
        {messages.toReversed().map(({ message, startTime }, place) => (
          <li key={place} title={new Date(startTime).toLocaleString()}>
            {message}
          </li>
        ))}
      </ul>
      {output && <pre>{output}</pre>}
    </>
  )
}
