import { useRoute } from 'preact-iso/router'
import { ask } from '../api.js'
import { type ReportRow, reportLink, told } from '../runs/runRows.js'
import { useMay } from '../session/me.js'
import { Act, Button, Field, useForm } from '../ui/form.js'
import { Facts, Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'
import { Status } from '../ui/status.js'
import { Switches } from '../ui/switches.js'
import { Table } from '../ui/table.js'
import { Ago, Took } from '../ui/time.js'
import { useData } from '../ui/useData.js'
import type { MachineRow } from './machineRows.js'

interface Machine extends MachineRow {
  version: string
  createdAt: number
}

interface Attribute {
  attributeId: number
  attributeName: string
  attributeValue: string
}

export function MachinePage() {
  const { id = '' } = useRoute().params
  const may = useMay()
  const path = `/v1/clients/${id}`
  const { data, error, reload } = useData<Machine>(`${path}/details`, { everyMs: 5000 })
  const actions = data && may('client.edit') && (
    <Switches path={path} isEnabled={data.enabled} reload={reload} list={`${base}/machines`} />
  )
  return (
    <Page title={data?.mqttClientId ?? 'Machine'} error={error} actions={actions}>
      {data && (
        <section class="card">
          <Facts
            facts={{
              Status: (
                <>
                  <Status of={data.status} /> {!data.enabled && <Status of="DISABLED" />}
                </>
              ),
              Role: data.role.toLowerCase(),
              'MQTT user': data.username,
              Address: data.ip,
              Agent: data.version,
              Connected: <Ago at={data.connectedAt} />,
              Disconnected: <Ago at={data.disconnectedAt} />,
              'First seen': <Ago at={data.createdAt} />
            }}
          />
        </section>
      )}
      <Attributes id={id} />
      <Groups id={id} />
      <Reports id={id} />
    </Page>
  )
}

function Attributes({ id }: { id: string }) {
  const may = useMay()
  const path = `/v1/clients/${id}/attributes`
  const { data, error, reload } = useData<{ list: Attribute[] }>(`${path}?pageSize=200`)
  const form = useForm(async ({ value = '' }, { dataset }) => {
    await ask(path, { method: 'POST', body: [{ attributeId: Number(dataset.attribute), attributeValue: value }] })
    reload()
  })
  return (
    <Section title="Attributes">
      <Table
        rows={error ? [] : data?.list}
        keyOf={({ attributeName }) => attributeName}
        empty={error?.message ?? 'none'}
        columns={{
          Name: ({ attributeName }) => attributeName,
          Value: ({ attributeId, attributeValue }) =>
            attributeId === 0 || !may('client.edit') ? (
              attributeValue
            ) : (
              <form class="inline" data-attribute={attributeId} {...form.props}>
                <input name="value" defaultValue={attributeValue} aria-label="value" />
                <button type="submit">Assign</button>
              </form>
            )
        }}
      />
    </Section>
  )
}

interface GroupRow {
  groupId: number
  groupName: string
  type: number
}

function Groups({ id }: { id: string }) {
  const may = useMay()
  const path = `/v1/clients/${id}/groups`
  const { data, error, reload } = useData<{ list: GroupRow[] }>(`${path}?pageSize=200`)
  const join = useForm(async ({ groupName = '' }, form) => {
    const { list } = await ask<{ list: GroupRow[] }>(`/v1/groups?groupName=${encodeURIComponent(groupName)}`)
    const ids = list.map(({ groupId }) => groupId)
    if (ids.length === 0) throw new Error(`there is no group ${groupName}`)
    await ask(path, { method: 'PUT', body: ids })
    form.reset()
    reload()
  })
  const leave = async (groupId: number) => {
    await ask(`${path}/remove`, { method: 'PUT', body: [groupId] })
    reload()
  }
  return (
    <Section title="Groups">
      <Table
        rows={error ? [] : data?.list}
        keyOf={({ groupId }) => groupId}
        empty={error?.message ?? 'in no group'}
        columns={{
          Group: ({ groupId, groupName }) => <a href={`${base}/groups/${groupId}`}>{groupName}</a>,
          '': ({ groupId, type }) => type === 0 && may('client.edit') && <Act act={() => leave(groupId)}>Take out</Act>
        }}
      />
      {may('client.edit') && (
        <form class="inline" {...join.props}>
          <Field name="groupName" label="Put into the group" required />
          <Button form={join}>Put in</Button>
        </form>
      )}
    </Section>
  )
}

function Reports({ id }: { id: string }) {
  const path = `/v1/logs/clients/jobs?clientId=${id}&pageSize=20`
  const { data, error } = useData<{ list: (ReportRow & { jobId: number; jobName: string })[] }>(path, { everyMs: 5000 })
  return (
    <Section title="Latest runs">
      <Table
        rows={error ? [] : data?.list}
        keyOf={({ reportId }) => reportId}
        empty={error?.message ?? 'nothing has run here yet'}
        columns={{
          Job: (row) => <a href={reportLink(row.jobId, row)}>{row.jobName}</a>,
          Status: ({ status }) => <Status of={status} />,
          Begun: ({ startTime }) => <Ago at={startTime} />,
          Took: ({ startTime, endTime }) => <Took from={startTime} to={endTime} />,
          'What it says': told
        }}
      />
    </Section>
  )
}
