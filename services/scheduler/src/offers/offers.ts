import {
  type Bus,
  compile,
  deliver,
  type Log,
  Offer,
  type OfferEnd,
  type Origin,
  type ReceiveCommand,
  Received,
  type Step,
  type UplinkMessage,
  withOrigin
} from '@fleetgate/kit'
import type { ExecutionStore } from '../executions/executionStore.js'
import { flatten } from '../executions/view.js'
import type { RunStore } from '../runs/runStore.js'
import { inOrder, type ServersDeps, serversOf } from '../runs/servers.js'

export interface OffersDeps extends ServersDeps {
  runs: RunStore
  executions: ExecutionStore
  bus: Pick<Bus, 'command'>
  log: Log
}

type Answer = Omit<OfferEnd, 'offerId'>

interface Order {
  step: Step
  jobId: number
  /** Of the request that opened the run. */
  origin: Origin
}

/**
 * RECV_FILE between two machines: what one offers goes to a SERVER as an order, what that one says goes back. Nothing is
 * kept here: the offering machine repeats itself until it is answered, and fetching twice fetches once.
 */
export function createOffers(deps: OffersDeps) {
  const { runs, executions, bus, log } = deps
  const projection = { runId: 1, jobId: 1, attempt: 1, open: 1 }

  /** Where the files go stands in the run: a machine says what it has, never what becomes of it. */
  async function orderOf(message: UplinkMessage, offer: Offer): Promise<Order | Answer> {
    const { tenantId, clientId } = message
    const own = { _id: offer.executionId, tenantId, mqttClientId: clientId }
    const execution = await executions.collection.findOne(own, { projection })
    if (!execution) return { error: 'the execution is unknown' }
    if (!execution.open || execution.attempt !== offer.attempt) return { error: 'the attempt is over' }
    const fields = { tasks: 1, requestId: 1, traceparent: 1 }
    const run = await runs.model.findOne({ _id: execution.runId, tenantId }, fields).lean()
    const { tasks = [], requestId, traceparent } = run ?? {}
    const steps = tasks.flatMap(({ scripts }) => flatten(scripts).map(({ step }) => step))
    const step = steps.find(({ scriptId, type }) => scriptId === offer.scriptId && type === 'RECV_FILE')
    if (step) return { step, jobId: execution.jobId, origin: { requestId, traceparent } }
    return { error: `the run has no RECV_FILE with number ${offer.scriptId}` }
  }

  async function pass(message: UplinkMessage, offer: Offer): Promise<Answer | undefined> {
    const { tenantId, clientId } = message
    const order = await orderOf(message, offer)
    if (!('step' in order)) return order
    const servers = inOrder(await serversOf(deps, { tenantId, jobId: order.jobId }))
    const server = servers.find(({ mqttClientId }) => mqttClientId !== clientId)
    if (!server) return { waiting: 'no SERVER machine is online to take the file' }
    const common = receiveCommand(order.step, offer, clientId)
    const targets = [{ clientId: server.mqttClientId, own: {} }]
    await withOrigin(order.origin, async () => {
      await bus.command(deliver, { tenantId, channel: 'receive', common, targets })
      const fields = { clientId, server: server.mqttClientId, executionId: offer.executionId }
      log.debug(fields, 'SERVER machine told of files')
    })
    return undefined
  }

  function tell(tenantId: string, clientId: string, end: OfferEnd): Promise<void> {
    const targets = [{ clientId, own: {} }]
    return bus.command(deliver, { tenantId, channel: 'offer-end', common: end, targets })
  }

  return {
    async onOffer(message: UplinkMessage): Promise<void> {
      const offer = parse(checkOffer, message, log)
      const answer = offer && (await pass(message, offer))
      if (offer && answer) await tell(message.tenantId, message.clientId, { offerId: offer.offerId, ...answer })
    },

    /** From any machine of the tenant: the one that offers listens to its own offers only. */
    async onReceived(message: UplinkMessage): Promise<void> {
      const received = parse(checkReceived, message, log)
      if (!received) return
      const { offerId, from, message: text, error } = received
      const words = error === undefined ? { message: `${message.clientId}: ${text ?? 'received'}` } : { error }
      await tell(message.tenantId, from, { offerId, ...words })
      log.info({ clientId: message.clientId, from, error }, 'SERVER machine took files')
    }
  }
}

const checkOffer = compile(Offer)
const checkReceived = compile(Received)

function parse<T>(
  check: (value: unknown) => T,
  { clientId, channel, payload }: UplinkMessage,
  log: Log
): T | undefined {
  try {
    return check(JSON.parse(Buffer.from(payload).toString('utf8')))
  } catch (error) {
    log.warn({ clientId, channel, reason: (error as Error).message }, 'message is not readable, dropped')
    return undefined
  }
}

/** `{clientId}` in the target stands for the machine that offers: files of many machines need not meet in one place. */
export function receiveCommand(step: Step, { offerId, files }: Offer, from: string): ReceiveCommand {
  const { filePath = '', targetFilePath = '', createFilePath = false, overWrite, transferOption } = step
  return {
    offerId,
    from,
    files,
    name: filePath.split(/[\\/]/).at(-1) ?? '',
    targetFilePath: targetFilePath.replaceAll('{clientId}', from),
    createFilePath,
    overWrite,
    ...(transferOption ? { transferOption } : {})
  }
}
