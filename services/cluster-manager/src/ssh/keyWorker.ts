import { parentPort } from 'node:worker_threads'
import type { LockedKey, OpenedKey } from './keyReader.js'
import { readPrivateKey } from './privateKey.js'

parentPort?.on('message', (key: LockedKey) => {
  parentPort?.postMessage(read(key))
})

function read({ text, passphrase }: LockedKey): OpenedKey {
  try {
    return { text: readPrivateKey(text, passphrase) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}
