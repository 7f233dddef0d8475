import { createHash } from 'node:crypto'
import {
  blockSize,
  downTopic,
  type ExecutionCommand,
  type ManifestFile,
  parseBlockTopic,
  type StageCommand,
  type Staged,
  upTopic
} from '@fleetgate/contracts/fleet'
import type { Conduct } from './fanout.js'
import type { MachineOptions, Publish } from './simulatedMachine.js'

const windowBlocks = 16

/**
 * Machines of which the first is a SERVER that names a file of the store, and all others fetch what an execution sends them:
 * by the agent's protocol and with its window, each block checked, nothing written to a disk.
 */
export function receivingFile(file: ManifestFile): Conduct {
  return (clientId, index) => (index === 0 ? serving(clientId, file) : receiving(clientId))
}

function serving(clientId: string, file: ManifestFile): Pick<MachineOptions, 'role' | 'onMessage'> {
  return {
    role: 'SERVER',
    onMessage: (topic, payload, publish) => {
      if (topic !== downTopic(clientId, 'stage')) return
      const { stageId, runId } = JSON.parse(payload.toString()) as StageCommand
      const staged: Staged = { stageId, runId, files: [file] }
      void publish(upTopic(clientId, 'staged'), staged)
    }
  }
}

interface Fetch {
  missing: Set<number>
  toAsk: number[]
  asked: number
  publish: Publish
  done: () => void
}

function receiving(clientId: string): Pick<MachineOptions, 'perform' | 'onMessage'> {
  const running = new Map<string, Fetch>()

  function ask(sha256: string, fetch: Fetch): void {
    if (fetch.asked > windowBlocks / 2) return
    const blocks = fetch.toAsk.splice(0, windowBlocks - fetch.asked)
    if (blocks.length === 0) return
    fetch.asked += blocks.length
    void fetch.publish(upTopic(clientId, 'blocks'), { sha256, blocks })
  }

  function fetchFile({ sha256, size }: ManifestFile, publish: Publish): Promise<void> {
    const blocks = Array.from({ length: Math.ceil(size / blockSize) }, (_, index) => index)
    return new Promise((done) => {
      const fetch = { missing: new Set(blocks), toAsk: blocks, asked: 0, publish, done }
      running.set(sha256, fetch)
      ask(sha256, fetch)
    })
  }

  return {
    async perform({ sources }: ExecutionCommand, publish) {
      for (const { files = [] } of Object.values(sources)) for (const file of files) await fetchFile(file, publish)
    },

    onMessage(topic, payload) {
      const block = parseBlockTopic(clientId, topic)
      const fetch = block && running.get(block.sha256)
      if (!fetch?.missing.has(block?.index ?? -1) || !block) return
      if (createHash('sha256').update(payload).digest('hex') !== block.blockSha256) throw new Error('a wrong block')
      fetch.missing.delete(block.index)
      fetch.asked -= 1
      if (fetch.missing.size > 0) return ask(block.sha256, fetch)
      running.delete(block.sha256)
      fetch.done()
    }
  }
}
