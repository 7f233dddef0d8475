import { useRoute } from 'preact-iso/router'
import { ask, query } from '../api.js'
import { useMay } from '../session/me.js'
import { Filters } from '../ui/filters.js'
import { Act } from '../ui/form.js'
import { Facts, Page } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Progress, Status } from '../ui/status.js'
import { Paged, pageSize } from '../ui/table.js'
import { Ago, Took } from '../ui/time.js'
import { useData } from '../ui/useData.js'
import { type ReportRow, type RunRow, reportLink, statusChoices, told } from './runRows.js'

const open = ['RUNNING', 'WAITING']

export function RunPage() {
  const { jobId = '', runId = '' } = useRoute().params
  const { page, filters, toPage, filter } = usePlace()
  const runs = useData<{ list: RunRow[] }>(`/v1/logs/jobs${query({ jobId, pageSize: 100 })}`, { everyMs: 2000 })
  const run = runs.data?.list.find((one) => one.runId === runId)
  const wanted = query({ jobId, runId, status: filters.status, pageNo: page, pageSize })
  const isOpen = run === undefined || open.includes(run.status)
  const reports = useData<{ total: number; list: ReportRow[] }>(`/v1/logs/jobs/clients${wanted}`, {
    everyMs: isOpen ? 2000 : 0
  })
  const job = Number(jobId)
  return (
    <Page
      title={run?.jobName ?? 'Run'}
      error={runs.error}
      actions={run && isOpen && <Orders run={run} reload={runs.reload} />}
    >
      {run && <About run={run} />}
      <Filters values={filters} onChange={filter} choices={{ status: statusChoices }} />
      <Paged
        loaded={reports}
        page={page}
        onPage={toPage}
        keyOf={({ reportId }) => reportId}
        empty="no such machines"
        columns={{
          Machine: (row) => <a href={reportLink(job, row)}>{row.mqttClientId}</a>,
          Status: ({ status }) => <Status of={status} />,
          Attempt: ({ attempt }) => attempt,
          Begun: ({ startTime }) => <Ago at={startTime} />,
          Took: ({ startTime, endTime }) => <Took from={startTime} to={endTime} />,
          'What it says': told
        }}
      />
    </Page>
  )
}

function About({ run }: { run: RunRow }) {
  const { jobId, status, reason, startTime, endTime, counts } = run
  return (
    <section class="card">
      <Progress counts={counts} />
      <Facts
        facts={{
          Job: <a href={`${base}/jobs/${jobId}`}>{run.jobName}</a>,
          Status: <Status of={status} />,
          Why: reason,
          Begun: <Ago at={startTime} />,
          Took: endTime && <Took from={startTime} to={endTime} />
        }}
      />
    </section>
  )
}

function Orders({ run: { jobId, runId, reason }, reload }: { run: RunRow; reload: () => void }) {
  const may = useMay()
  if (!may('job.run')) return null
  const order = (word: 'pause' | 'resume' | 'cancel') => async () => {
    await ask(`/v1/jobs/${jobId}/runs/${runId}/${word}`, { method: 'PUT' })
    reload()
  }
  const isPaused = reason?.includes('paused') ?? false
  return (
    <>
      {isPaused ? <Act act={order('resume')}>Resume</Act> : <Act act={order('pause')}>Pause</Act>}
      <Act act={order('cancel')} confirm="Really cancel?">
        Cancel
      </Act>
    </>
  )
}
