import type { BrokerAlarm } from '../broker/brokerFacts.js'

export interface Alarms {
  /** What this process needs and does not get. */
  list(): Promise<BrokerAlarm[]>
  start(): void
  stop(): void
}

export interface Watched {
  id: string
  title: string
  summary: string
  isWell(): boolean | Promise<boolean>
}

/** Of a broker in a process of its own. */
export const brokerAway = 'broker_unavailable'

const lookEveryMs = 5_000

/** Looks regularly, so that an alarm carries the time at which it began and not that of the question. */
export function createAlarms(watched: readonly Watched[], now: () => number): Alarms {
  const since = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined

  async function look(): Promise<void> {
    await Promise.all(
      watched.map(async ({ id, isWell }) => {
        const isFine = await Promise.resolve(isWell()).catch(() => false)
        if (isFine) since.delete(id)
        else if (!since.has(id)) since.set(id, now())
      })
    )
  }

  return {
    async list() {
      await look()
      return watched.flatMap(({ id, title, summary }) => {
        const occurredAt = since.get(id)
        return occurredAt === undefined ? [] : [{ id, title, summary, occurredAt }]
      })
    },
    start() {
      timer = setInterval(() => void look(), lookEveryMs)
      timer.unref()
    },
    stop: () => clearInterval(timer)
  }
}
