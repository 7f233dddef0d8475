import { randomBytes } from 'node:crypto'
import { openStore, partsOf, type Store } from '@fleetgate/store'
import { quietLog } from '@fleetgate/testkit'
import { type Document, insertCopies } from '../bench/insertCopies.js'

export interface Wanted {
  clients: number
  /** Machines' results, one row of the log of clients each. */
  rows: number
}

export interface Filled {
  clientIds: number[]
  /** Names of those clients on MQTT. */
  names: string[]
  jobId: number
  runId: string
}

/** A machine takes part in a run once. */
const mostPerRun = 10_000

/**
 * Multiplies what one real job on real connections has left in the scheduler's database: each document here is a copy of one
 * that the scheduler wrote, with other names, numbers and times, so the bench cannot drift from the product.
 */
export async function fill(mongoUri: string, jobId: number, { clients, rows }: Wanted): Promise<Filled> {
  const store = await openStore({ uri: mongoUri, database: 'fleetgate_scheduler', log: quietLog })
  try {
    const insert = (collection: string, count: number, copy: (index: number) => Document) =>
      insertCopies(store, { collection, count, copy, atOnce: 5_000, isJournaled: false })
    const run = await sample(store, 'runs', { jobId })
    const execution = await sample(store, 'executions', { jobId })
    const client = await sample(store, 'clients', { clientId: execution.clientId })
    const first = await nextNumber(store, 'clients', 'clientId')
    const ids = Array.from({ length: clients }, (_, index) => first + index)
    await insert('clients', clients, (index) => clientCopy(client, ids[index] ?? 0))
    await reserve(store, `${client.tenantId}:client`, first + clients)
    const perRun = Math.min(mostPerRun, clients)
    const runs = Math.ceil(rows / perRun)
    const runIds = Array.from({ length: runs }, () => randomBytes(16).toString('hex'))
    const sizeOf = (index: number) => Math.min(perRun, rows - index * perRun)
    await insert('runs', runs, (index) => runCopy(run, { id: runIds[index] ?? '', index, size: sizeOf(index) }))
    await insert('executions', rows, (index) => {
      const clientId = ids[index % clients] ?? 0
      const runIndex = Math.floor(index / perRun)
      return executionCopy(execution, { runId: runIds[runIndex] ?? '', clientId, index, runIndex })
    })
    return { clientIds: ids, names: ids.map(nameOf), jobId, runId: runIds[0] ?? '' }
  } finally {
    await store.close()
  }
}

export function nameOf(clientId: number): string {
  return `filled-${String(clientId).padStart(7, '0')}`
}

function clientCopy(client: Document, clientId: number): Document {
  const name = nameOf(clientId)
  const status = clientId % 10 === 0 ? 'OFFLINE' : 'ONLINE'
  return {
    ...client,
    _id: `${client.tenantId}:${clientId}`,
    clientId,
    mqttClientId: name,
    nameParts: partsOf(name),
    status
  }
}

function runCopy(run: Document, { id, index, size }: { id: string; index: number; size: number }): Document {
  const failed = Math.ceil(size / 20)
  const counts = { total: size, succeeded: size - failed, failed, running: 0, waiting: 0 }
  const times = {
    createdAt: Number(run.createdAt) - (index + 1) * 60_000,
    endedAt: Number(run.endedAt) - index * 60_000
  }
  return { ...run, ...times, _id: id, triggerKey: `filled:${id}`, targets: size, counts, result: 'FAILED' }
}

function executionCopy(
  execution: Document,
  { runId, clientId, index, runIndex }: { runId: string; clientId: number; index: number; runIndex: number }
): Document {
  const shift = (runIndex + 1) * 60_000
  return {
    ...execution,
    _id: `${runId}-${clientId}`,
    runId,
    clientId,
    mqttClientId: nameOf(clientId),
    state: index % 20 === 0 ? 'FAILED' : 'SUCCEEDED',
    createdAt: Number(execution.createdAt) - shift,
    endedAt: Number(execution.endedAt) - shift
  }
}

async function sample(store: Store, name: string, filter: Document): Promise<Document> {
  const found = await store.connection.collection(name).findOne(filter)
  if (!found) throw new Error(`the sample job has left nothing in ${name}`)
  return found
}

async function nextNumber(store: Store, name: string, field: string): Promise<number> {
  const [last] = await store.connection
    .collection(name)
    .find()
    .sort({ [field]: -1 })
    .limit(1)
    .toArray()
  return Number(last?.[field] ?? 0) + 1
}

/** Numbers given out by the fill are not given out again by the scheduler. */
async function reserve(store: Store, counter: string, value: number): Promise<void> {
  await store.connection.collection<{ _id: string }>('counters').updateOne({ _id: counter }, { $max: { value } })
}
