import { ask } from '../api.js'
import { type RunRow, runColumns } from '../runs/runRows.js'
import { useMay } from '../session/me.js'
import { Chart } from '../ui/chart.js'
import { Act } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'
import { Table } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'

interface Reports {
  clientsOnline: number
  clientsOffline: number
  clientsDisabled: number
  jobSuccess: number
  jobFailed: number
}

interface Alert {
  alertId: number
  kind: string
  message: string
  raisedAt: number
}

export function OverviewPage() {
  const reports = useData<Reports>('/v1/dashboard/reports', { everyMs: 5000 })
  const online = useData<{ clientCount: number; time: number }[]>('/v1/dashboard/onlineClients?interval=600', {
    everyMs: 60_000
  })
  const runs = useData<{ list: RunRow[] }>('/v1/logs/jobs?pageSize=8', { everyMs: 3000 })
  const points = online.data
    ?.map(({ time, clientCount }) => ({ at: time, value: clientCount }))
    .sort((a, b) => a.at - b.at)
  return (
    <Page title="Overview" error={reports.error}>
      {reports.data && <Figures reports={reports.data} />}
      <Alerts />
      <Section title="Machines online, the last day">
        <Chart points={points ?? []} label="machines online" />
      </Section>
      <Section title="Latest runs">
        <Table columns={runColumns} rows={runs.data?.list} keyOf={({ runId }) => runId} empty="no job has run yet" />
      </Section>
    </Page>
  )
}

function Figures({ reports }: { reports: Reports }) {
  const { clientsOnline, clientsOffline, clientsDisabled, jobSuccess, jobFailed } = reports
  const figures = [
    ['machines online', clientsOnline, '/machines?status=ONLINE', 'good'],
    ['machines offline', clientsOffline, '/machines?status=OFFLINE', clientsOffline > 0 ? 'bad' : ''],
    ['machines disabled', clientsDisabled, '/machines?enabled=false', ''],
    ['jobs that succeeded', jobSuccess, '/runs?status=SUCCESS', ''],
    ['jobs that failed', jobFailed, '/runs?status=FAILED', jobFailed > 0 ? 'bad' : '']
  ] as const
  return (
    <div class="figures">
      {figures.map(([name, count, page, tone]) => (
        <a key={name} class={`card ${tone}`} href={base + page}>
          <b>{count.toLocaleString('en')}</b>
          {name}
        </a>
      ))}
    </div>
  )
}

function Alerts() {
  const may = useMay()
  const { data, error, reload } = useData<{ total: number; list: Alert[] }>(
    '/v1/dashboard/alerts?open=true&pageSize=20',
    { everyMs: 10_000 }
  )
  if (!error && !data?.total) return null
  const close = async (id: number) => {
    await ask(`/v1/dashboard/alerts/${id}/close`, { method: 'PUT' })
    reload()
  }
  return (
    <Section title={`Open alerts: ${data?.total ?? '?'}`}>
      <Table
        rows={data?.list}
        keyOf={({ alertId }) => alertId}
        columns={{
          What: ({ message }) => message,
          Since: ({ raisedAt }) => <Ago at={raisedAt} />,
          '': ({ alertId }) => (may('job.edit') || may('client.edit')) && <Act act={() => close(alertId)}>Close</Act>
        }}
      />
    </Section>
  )
}
