import type { Log } from '@fleetgate/contracts'
import type { SealedDoc, SealedPlace } from './sealedPlace.js'
import type { Secrets } from './secrets.js'

export interface ResealingOptions {
  secrets: Secrets
  places: readonly SealedPlace[]
  log: Log
  everyMs?: number
}

const defaultEveryMs = 10 * 60_000

/**
 * Seals anew what older keys of the ring have sealed: now, and again and again, because a write that was under way may have put
 * an older text back. With one key in the ring there is nothing to do and nothing is read. Replicas may do it at once.
 */
export function startResealing({ secrets, places, log, everyMs = defaultEveryMs }: ResealingOptions): {
  stop(): Promise<void>
} {
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  const older = secrets.older
  if (!older) return { stop: async () => undefined }

  async function round(pattern: RegExp): Promise<void> {
    const count = { anew: 0, left: 0 }
    for (const place of places) {
      for await (const doc of place.find(pattern)) {
        if (isStopped) return
        const isDone = await sealAnew(place, doc)
        count[isDone ? 'anew' : 'left'] += 1
      }
    }
    if (count.left > 0) log.warn(count, 'secrets that older keys sealed are left, trying again later')
    else log.info(count, 'all secrets are sealed with the first key of the ring')
  }

  async function sealAnew(place: SealedPlace, { id, texts }: SealedDoc): Promise<boolean> {
    try {
      const anew = texts.map(({ path, sealed, context }) => ({
        path,
        before: sealed,
        after: secrets.seal(secrets.open(sealed, context), context)
      }))
      return await place.exchange(id, anew)
    } catch (err) {
      log.error({ err, place: place.name, id }, 'a secret could not be sealed anew')
      return false
    }
  }

  function next(pattern: RegExp): Promise<void> {
    return round(pattern)
      .catch((err) => log.warn({ err }, 'secrets were not sealed anew, trying again later'))
      .then(() => {
        if (!isStopped) timer = setTimeout(() => (running = next(pattern)), everyMs)
      })
  }

  let running = next(older)
  return {
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await running
    }
  }
}
