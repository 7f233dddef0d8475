import { useLocation } from 'preact-iso/router'
import { query } from '../api.js'
import { useMay } from '../session/me.js'
import { Filters } from '../ui/filters.js'
import { Act } from '../ui/form.js'
import { Page } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Status } from '../ui/status.js'
import { Paged, pageSize } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'
import { runJob } from './runJob.js'
import { scheduleOf } from './schedule.js'

interface JobRow {
  jobId: number
  jobName: string
  enabled: boolean
  tasks: number
  groups: number
  clients: number
  cycleType: number
  executionTime: string | null
  nextRunAt: number | null
  lastRunAt: number | null
}

export function JobsPage() {
  const may = useMay()
  const { route } = useLocation()
  const { page, filters, toPage, filter } = usePlace()
  const path = `/v1/jobs/allInfo${query({ jobNameContain: filters.name, pageNo: page, pageSize })}`
  const loaded = useData<{ total: number; list: JobRow[] }>(path, { everyMs: 10_000 })
  const canSend = may('job.edit') && may('job.run')
  return (
    <Page
      title="Jobs"
      actions={
        canSend && (
          <a class="button" href={`${base}/jobs/new`}>
            Send and run
          </a>
        )
      }
    >
      <Filters values={filters} onChange={filter} texts={{ name: 'name contains' }} />
      <Paged
        loaded={loaded}
        page={page}
        onPage={toPage}
        keyOf={({ jobId }) => jobId}
        empty="no jobs"
        columns={{
          Job: ({ jobId, jobName }) => <a href={`${base}/jobs/${jobId}`}>{jobName}</a>,
          Machines: ({ clients }) => clients,
          Schedule: scheduleOf,
          Next: ({ nextRunAt }) => nextRunAt && <Ago at={nextRunAt} />,
          'Last run': ({ lastRunAt }) => <Ago at={lastRunAt} />,
          '': ({ jobId, enabled }) =>
            enabled ? may('job.run') && <Act act={() => runJob(jobId, route)}>Run</Act> : <Status of="DISABLED" />
        }}
      />
    </Page>
  )
}
