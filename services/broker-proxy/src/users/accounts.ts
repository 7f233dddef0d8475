import type { Log } from '@fleetgate/contracts'
import { createReadings } from '../readings.js'
import type { MqttUser, Users } from './users.js'

/** Every MQTT user, in memory: log-ins and permissions are asked for too often to read them each time. */
export interface Accounts {
  find(accessKey: string): MqttUser | undefined
  /** Reads one user anew. */
  refresh(accessKey: string): Promise<void>
  /** Reads all of them, now and each half minute: an event may have been missed. */
  start(): Promise<void>
  stop(): void
}

export interface AccountsParts {
  users: Pick<Users, 'all' | 'find'>
  /** What was known and what is now; called only where they differ. */
  onChange(before: MqttUser | undefined, after: MqttUser | undefined): void
  log: Log
}

const reloadMs = 30_000

export function createAccounts({ users, onChange, log }: AccountsParts): Accounts {
  const known = new Map<string, MqttUser>()
  const readings = createReadings()
  let timer: NodeJS.Timeout | undefined

  function put(accessKey: string, after: MqttUser | undefined): void {
    const before = known.get(accessKey)
    if (JSON.stringify(before) === JSON.stringify(after)) return
    if (after) known.set(accessKey, after)
    else known.delete(accessKey)
    onChange(before, after)
  }

  async function readAll(isNewer: (accessKey: string) => boolean): Promise<void> {
    const seen = new Set<string>()
    for await (const user of users.all()) {
      seen.add(user.accessKey)
      if (!isNewer(user.accessKey)) put(user.accessKey, user)
    }
    for (const accessKey of [...known.keys()]) {
      if (!seen.has(accessKey) && !isNewer(accessKey)) put(accessKey, undefined)
    }
  }

  return {
    find: (accessKey) => known.get(accessKey),
    refresh: (accessKey) =>
      readings.one(
        accessKey,
        () => users.find(accessKey),
        (user) => put(accessKey, user)
      ),
    async start() {
      await readings.all(readAll)
      timer = setInterval(() => {
        readings.all(readAll).catch((err) => log.warn({ err }, 'MQTT users not read, trying again later'))
      }, reloadMs)
      timer.unref()
    },
    stop: () => clearInterval(timer)
  }
}
