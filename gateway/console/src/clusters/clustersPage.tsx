import { query } from '../api.js'
import { useMay } from '../session/me.js'
import { Page, Section } from '../ui/page.js'
import { base, usePlace } from '../ui/place.js'
import { Standing } from '../ui/status.js'
import { Paged, pageSize, Table } from '../ui/table.js'
import { Ago } from '../ui/time.js'
import { useData } from '../ui/useData.js'

interface ClusterRow {
  _id: string
  name: string
  owner: string
  status: string
  profile: string
  createCategory: string
  instances: number
  time_create: string
}

interface LogRow {
  _id: string
  clusterName: string
  operateType: string
  userName: string
  status: string
  comments: string
  time_create: string
}

export function ClustersPage() {
  const may = useMay()
  const { page, toPage } = usePlace()
  const paged = { count: true, skip: (page - 1) * pageSize, limit: pageSize, sort: '-time_create' }
  const { data, error, reload } = useData<{ count: number; data: ClusterRow[] }>(`/v1/cluster${query(paged)}`, {
    everyMs: 5000
  })
  const log = useData<{ data: LogRow[] }>('/v1/logs?limit=20&sort=-time_create', { everyMs: 5000 })
  return (
    <Page
      title="Clusters"
      actions={
        may('cluster.edit') && (
          <a class="button" href={`${base}/clusters/new`}>
            New cluster
          </a>
        )
      }
    >
      <Paged
        loaded={{ data: data && { total: data.count, list: data.data }, error, reload }}
        page={page}
        onPage={toPage}
        keyOf={({ _id }) => _id}
        empty="no clusters"
        columns={{
          Cluster: ({ _id, name }) => <a href={`${base}/clusters/${_id}`}>{name}</a>,
          Status: ({ status }) => <Standing of={status} />,
          Profile: ({ profile, createCategory }) => `${profile} ${createCategory}`,
          Hosts: ({ instances }) => instances,
          Owner: ({ owner }) => owner,
          Created: ({ time_create }) => <Ago at={Date.parse(time_create)} />
        }}
      />
      <Section title="What was done">
        <Table
          rows={log.data?.data}
          keyOf={({ _id }) => _id}
          empty={log.error?.message ?? 'nothing yet'}
          columns={{
            When: ({ time_create }) => <Ago at={Date.parse(time_create)} />,
            Who: ({ userName }) => userName,
            What: ({ operateType, clusterName }) => `${operateType.replaceAll('_', ' ')} ${clusterName ?? ''}`,
            How: ({ status }) => status,
            Why: ({ comments }) => comments
          }}
        />
      </Section>
    </Page>
  )
}
