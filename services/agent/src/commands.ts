import {
  AppError,
  compile,
  ExecutionCommand,
  FileInfo,
  OfferEnd,
  parseBlockTopic,
  ReceiveCommand,
  StageCommand,
  StopCommand,
  Type
} from '@fleetgate/contracts/fleet'
import type { Executions } from './executions/executions.js'
import type { Log } from './log.js'
import type { Downloads } from './transfer/download.js'
import type { Offers } from './transfer/offers.js'
import type { Receives } from './transfer/receives.js'
import type { Stages } from './transfer/stages.js'
import type { Uploads } from './transfer/upload.js'

const { executionId, runId, jobId, attempt, epoch, expiresInMs } = ExecutionCommand.properties

/** Enough of a command to answer it, should the rest be of a kind that this agent does not know. */
const Envelope = Type.Object({ executionId, runId, jobId, attempt, epoch, expiresInMs })

const checkEnvelope = compile(Envelope)
const checkExecution = compile(ExecutionCommand)
const checkStop = compile(StopCommand)
const checkStage = compile(StageCommand)
const checkReceive = compile(ReceiveCommand)
const checkOfferEnd = compile(OfferEnd)
const checkFileInfo = compile(FileInfo)

export interface CommandsOptions {
  clientId: string
  executions: Executions
  stages: Stages
  receives: Receives
  offers: Offers
  downloads: Downloads
  uploads: Uploads
  log: Log
}

/** Hands each message to the part it is for; what breaks its schema is logged and dropped. */
export function createCommands(options: CommandsOptions) {
  const { clientId, executions, stages, receives, offers, downloads, uploads, log } = options
  const prefix = `fleet/${clientId}/down/`

  async function handle(topic: string, payload: Buffer): Promise<void> {
    const block = parseBlockTopic(clientId, topic)
    if (block) return downloads.onBlock(block, payload)
    const message: unknown = JSON.parse(payload.toString())
    if (topic === `${prefix}execution`) return acceptExecution(message)
    if (topic === `${prefix}stop`) return executions.end(checkStop(message))
    if (topic === `${prefix}stage`) return stages.stage(checkStage(message))
    if (topic === `${prefix}receive`) return receives.receive(checkReceive(message))
    if (topic === `${prefix}offer-end`) return offers.onOfferEnd(checkOfferEnd(message))
    if (topic !== `${prefix}file-info`) return log.warn({ topic }, 'message of an unknown kind dropped')
    const info = checkFileInfo(message)
    uploads.onFileInfo(info)
    downloads.onFileInfo(info)
  }

  async function acceptExecution(message: unknown): Promise<void> {
    const envelope = checkEnvelope(message)
    try {
      return await executions.accept(checkExecution(message) as ExecutionCommand)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      await executions.accept({ ...envelope, tasks: [], sources: {} }, `unsupported command: ${error.message}`)
    }
  }

  return async (topic: string, payload: Buffer): Promise<void> => {
    try {
      await handle(topic, payload)
    } catch (error) {
      log.warn({ err: error, topic }, 'message dropped')
    }
  }
}
