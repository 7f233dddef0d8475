import { type Session, until } from '@fleetgate/testkit'
import type mqtt from 'mqtt'
import { post } from '../demo/client.js'
import type { Database } from './database.js'
import { some } from './load.js'
import { type Acknowledged, keyOf, rowsOf } from './rows.js'

/** The device whose values start the workflow, and the entity that it writes. */
export const oven = 'soak-oven'
export const alarm = 'soak-alarm'

export async function makeWorkflow(session: Session): Promise<string> {
  const node = (id: string, componentName: string, parameters: object) => ({
    ...{ id, type: componentName, componentName, position: { x: 0, y: 0 } },
    data: { nodeName: id, parameters }
  })
  const nodes = [
    node('in', 'eventListener', { entities: [keyOf(oven)] }),
    node('double', 'code', {
      inputArguments: { heat: `#{properties.in['${keyOf(oven)}']}` },
      expression: { language: 'js', expression: 'function main({ heat }) { return { twice: heat * 2 } }' }
    }),
    node('set', 'entityAssigner', { exchangePayload: { [`system.integration.${alarm}`]: '#{double.twice}' } })
  ]
  const edges = [
    { id: 'e1', source: 'in', target: 'double' },
    { id: 'e2', source: 'double', target: 'set' }
  ]
  const design_data = JSON.stringify({ nodes, edges, viewport: { x: 0, y: 0, zoom: 1 } })
  const draft = { name: 'Soak', remark: '', enabled: true, design_data }
  return (await post<{ data: { flow_id: string } }>(session, '/workflow/flows/design', draft)).data.flow_id
}

/** Until the replicas know the workflow, values pass by it. */
export async function firstRun(session: Session, clients: Map<string, mqtt.MqttClient>, flowId: string): Promise<void> {
  type Logs = { data: { content: unknown[] } }
  const isKnown = async () => {
    const payload = JSON.stringify({ at: Date.now() - 30_000, wind: 0 })
    await clients.get(oven)?.publishAsync(`soak/${oven}/state`, payload, { qos: 1 })
    const logs = await post<Logs>(session, `/workflow/flows/${flowId}/logs/search`, { page_size: 10 })
    return logs.data.content.length > 1
  }
  await until(isKnown, { what: 'the workflow to run', deadlineMs: 60_000, everyMs: 300 })
}

interface Flow {
  flowId: string
  acknowledged: Acknowledged
}

/** Each value that was acknowledged started one run, which ended, and what it computed stands there once. */
export async function flowFaults(
  session: Session,
  database: Database,
  { flowId, acknowledged }: Flow
): Promise<string[]> {
  interface RunDoc {
    _id: unknown
    state: string
    input: string
    message?: string
  }
  const filter = { workflowId: flowId }
  const runs = (await database.of('devices', 'workflowRuns').find(filter).toArray()) as unknown as RunDoc[]
  const byValue = new Map<number, RunDoc[]>()
  for (const run of runs) {
    const [value] = Object.values(JSON.parse(run.input) as Record<string, unknown>)
    byValue.set(Number(value), [...(byValue.get(Number(value)) ?? []), run])
  }
  const alarms = (await rowsOf(session, database, `system.integration.${alarm}`)).map(({ value }) => value)
  const open = runs.filter(({ state }) => state !== 'SUCCESS' && state !== 'ERROR')
  const judged = [...acknowledged.values()].flatMap((value) => {
    const mine = byValue.get(value) ?? []
    if (mine.length !== 1) return [`the value ${value} of ${oven} started ${mine.length} runs`]
    const times = alarms.filter((one) => one === value * 2).length
    const isRight = mine[0]?.state === 'SUCCESS' ? times === 1 : times <= 1
    return isRight ? [] : [`the run of the value ${value} is ${mine[0]?.state} and wrote ${times} times`]
  })
  return [...some(open.map(({ _id, state }) => `workflow run ${_id} is ${state}`)), ...some(judged)]
}

/** Runs of the workflow that did not succeed, by what is said of them. */
export async function failedFlows(database: Database): Promise<Record<string, number>> {
  const runs = await database.of('devices', 'workflowRuns').find({ state: 'ERROR' }).toArray()
  const words = runs.map(({ message }) => `workflow: ${message}`)
  return Object.fromEntries([...new Set(words)].map((one) => [one, words.filter((word) => word === one).length]))
}
