import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { readPrivateKey } from './privateKey.js'

export interface LockedKey {
  text: string
  passphrase: string
}
export type OpenedKey = { text: string } | { error: string }

/** Reads the private keys of one request. */
export interface KeyReader {
  /** Answers the key without its lock; rejects with a plain Error that has the reason. */
  read(text: string, passphrase?: string): Promise<string>
  close(): void
}

/** All locked keys of a request together: of one key with OpenSSH's own settings it is half a second of a core. */
const openWithinMs = 20_000

/** Locked keys are opened in a thread, each once for all hosts that have it: the event loop must not lose that time. */
export function createKeyReader(withinMs = openWithinMs): KeyReader {
  const known = new Map<string, Promise<string>>()
  let worker: Worker | undefined
  let signal: AbortSignal | undefined
  let last: Promise<unknown> = Promise.resolve()

  async function open(key: LockedKey): Promise<string> {
    worker ??= new Worker(new URL('./keyWorker.js', import.meta.url))
    signal ??= AbortSignal.timeout(withinMs)
    worker.postMessage(key)
    const [answer] = (await once(worker, 'message', { signal }).catch((cause: Error) => {
      if (cause.name !== 'AbortError') throw cause
      throw new Error('takes too long to open: give it without a passphrase, or with fewer rounds', { cause })
    })) as [OpenedKey]
    if ('error' in answer) throw new Error(answer.error)
    return answer.text
  }

  return {
    read(text, passphrase) {
      if (!passphrase) return Promise.resolve().then(() => readPrivateKey(text))
      const name = JSON.stringify([text, passphrase])
      let reading = known.get(name)
      if (!reading) {
        // One after the other: the thread's answers have no names.
        reading = last.then(() => open({ text, passphrase }))
        last = reading.catch(() => undefined)
        known.set(name, reading)
      }
      return reading
    },
    close: () => void worker?.terminate()
  }
}
