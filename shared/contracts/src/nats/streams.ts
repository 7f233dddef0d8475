import { setTimeout as sleep } from 'node:timers/promises'
import {
  type JetStreamManager,
  type NatsConnection,
  NatsError,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig
} from 'nats'
import type { Log } from '../bus.js'
import { subjectRoots } from './wire.js'

const day = nanos(24 * 60 * 60 * 1000)

export const streamNames = { events: 'EVENTS', commands: 'COMMANDS', uplink: 'UPLINK' } as const
export type StreamName = (typeof streamNames)[keyof typeof streamNames]

type Wanted = Pick<StreamConfig, 'name' | 'subjects' | 'retention' | 'storage' | 'max_age' | 'duplicate_window'>

function wanted(name: StreamName, root: string, retention: RetentionPolicy, max_age: number): Wanted {
  const duplicate_window = nanos(2 * 60 * 1000)
  return { name, subjects: [`${root}.>`], retention, storage: StorageType.File, max_age, duplicate_window }
}

const streams: readonly Wanted[] = [
  wanted(streamNames.events, subjectRoots.event, RetentionPolicy.Limits, 7 * day),
  wanted(streamNames.commands, subjectRoots.command, RetentionPolicy.Workqueue, day),
  wanted(streamNames.uplink, subjectRoots.uplink, RetentionPolicy.Limits, 7 * day)
]

/** Codes of JetStream's own refusals; everything else is an outage that passes. */
const streamNotFound = 10059
const nameInUse = 10058
const consumerExists = 10148
const passing = new Set([10008, 10009])

function apiCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined
}

/** True where JetStream itself said no, and will say so again. */
export function isRefusal(error: unknown): boolean {
  const code = apiCode(error)
  return code !== undefined && !passing.has(code) && code !== streamNotFound
}

export function isStreamMissing(error: unknown): boolean {
  return apiCode(error) === streamNotFound
}

/** True where a consumer of this name exists with another configuration. */
export function isTakenName(error: unknown): boolean {
  return apiCode(error) === consumerExists
}

/** Opens JetStream and makes sure of the streams; waits while NATS is starting. */
export async function openStreams(connection: NatsConnection, log: Log): Promise<JetStreamManager> {
  for (let tries = 1; ; tries++) {
    try {
      const manager = await connection.jetstreamManager()
      await ensureStreams(manager)
      return manager
    } catch (error) {
      if (connection.isClosed() || isRefusal(error)) throw error
      if (tries % 10 === 0) log.warn({ err: error }, 'waiting for JetStream')
      await sleep(Math.min(1_000, 100 * tries))
    }
  }
}

/** What our configuration does not name (replicas, size limits, placement) is left as the operator set it. */
export async function ensureStreams(manager: JetStreamManager): Promise<void> {
  for (const config of streams) {
    const existing = await findConfig(manager, config.name)
    if (!existing) await add(manager, config)
    else if (differs(existing, config)) await manager.streams.update(config.name, { ...existing, ...config })
  }
}

async function findConfig(manager: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
  try {
    return (await manager.streams.info(name)).config
  } catch (error) {
    if (isStreamMissing(error)) return undefined
    throw error
  }
}

async function add(manager: JetStreamManager, config: Wanted): Promise<void> {
  try {
    await manager.streams.add(config)
  } catch (error) {
    // Another service was faster; it made the same stream.
    if (apiCode(error) !== nameInUse) throw error
  }
}

function differs(existing: StreamConfig, config: Wanted): boolean {
  return (Object.keys(config) as (keyof Wanted)[]).some(
    (key) => JSON.stringify(existing[key]) !== JSON.stringify(config[key])
  )
}
