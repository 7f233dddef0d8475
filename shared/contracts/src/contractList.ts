import {
  BlocksRequest,
  CastJoin,
  ExecutionCommand,
  FileInfo,
  FileQuery,
  Hello,
  Offer,
  OfferEnd,
  ReceiveCommand,
  Received,
  Report,
  StageCommand,
  Staged,
  StopCommand,
  UploadInit
} from './fleetMessages.js'
import {
  type Block,
  blockTopic,
  castBlockTopic,
  type DownChannel,
  downChannels,
  downTopic,
  type UpChannel,
  upChannels,
  uploadTopics,
  upTopic
} from './fleetTopics.js'
import {
  type CommandContract,
  commands,
  type EventContract,
  events,
  type RpcContract,
  rpcs,
  type SignalContract,
  signals,
  uplinkChannels
} from './messages.js'
import { commandSubject, eventSubject, rpcSubject, signalSubject, uplinkFilter } from './nats/wire.js'
import type { TSchema } from './schema.js'
import { describeFields } from './schemaFields.js'

/** The JSON payload of each channel; a new channel without an entry does not compile. */
const downPayloads = {
  execution: ExecutionCommand,
  stop: StopCommand,
  stage: StageCommand,
  receive: ReceiveCommand,
  'offer-end': OfferEnd,
  'file-info': FileInfo,
  block: undefined
} satisfies Record<DownChannel, TSchema | undefined>

const upPayloads = {
  hello: Hello,
  report: Report,
  staged: Staged,
  offer: Offer,
  received: Received,
  'file-query': FileQuery,
  blocks: BlocksRequest,
  'cast-join': CastJoin
} satisfies Record<UpChannel, TSchema>

/** Every contract between two processes as one page of markdown. */
export function loadContractList(): string {
  const castText =
    'To machines that have subscribed to `fleet/group/{castId}/down/#`. With `/gzip` at the end: compressed.'
  const rpcText = 'NATS request and reply: `{ok: true, data}` or `{ok: false, error: {code, message, details}}`.'
  const sections = [
    '# Contracts\n\nGenerated from `src` by `node dist/src/printContracts.js`; a test checks that it is current.',
    section('Events', 'Stream `EVENTS`, at least once, kept for 7 days.', events.map(eventEntry)),
    section('Commands', 'Stream `COMMANDS`, a work queue, kept for a day.', commands.map(commandEntry)),
    section('Signals', 'Core NATS: heard by who listens at this moment, kept by nobody.', signals.map(signalEntry)),
    section('RPC', rpcText, rpcs.map(rpcEntry)),
    section('Uplink', 'Stream `UPLINK`, kept for 7 days. Payloads are what the machine sent.', [uplinkList()]),
    section('MQTT, down to a machine', 'QoS 1.', downChannels.map(downEntry)),
    section('MQTT, down to a group', castText, [entry(castBlockTopic('{castId}', blockNames), undefined, undefined)]),
    section('MQTT, up from a machine', 'QoS 1.', upChannels.map(upEntry)),
    section('MQTT, uploads', 'QoS 1, acknowledged when stored.', uploadEntries())
  ]
  return `${sections.join('\n\n')}\n`
}

function section(title: string, text: string, entries: string[]): string {
  return [`## ${title}`, text, ...entries].join('\n\n')
}

function entry(subject: string, summary: string | undefined, schema: TSchema | undefined): string {
  return [`### \`${subject}\``, summary, schema ? describeFields(schema) : 'Raw bytes.'].filter(Boolean).join('\n\n')
}

function eventEntry(contract: EventContract): string {
  return entry(eventSubject(contract), contract.summary, contract.data)
}

function commandEntry(contract: CommandContract): string {
  return entry(commandSubject(contract), contract.summary, contract.data)
}

function signalEntry(contract: SignalContract): string {
  return entry(signalSubject(contract, '{tenantId}'), contract.summary, contract.data)
}

function upEntry(channel: UpChannel): string {
  return entry(upTopic('{clientId}', channel), undefined, upPayloads[channel])
}

function rpcEntry(contract: RpcContract): string {
  const { summary, timeoutMs, request, reply } = contract
  const parts = ['Request:', describeFields(request), 'Reply:', describeFields(reply)]
  return [`### \`${rpcSubject(contract)}\``, `${summary}. Deadline ${timeoutMs} ms.`, ...parts].join('\n\n')
}

function uplinkList(): string {
  return uplinkChannels.map((channel) => `- \`${uplinkFilter(channel)}\``).join('\n')
}

const blockNames: Block = { sha256: '{sha256}', index: '{index}' as unknown as number, blockSha256: '{blockSha256}' }

function downEntry(channel: DownChannel): string {
  const topic = channel === 'block' ? blockTopic('{clientId}', blockNames) : downTopic('{clientId}', channel)
  return entry(topic, undefined, downPayloads[channel])
}

function uploadEntries(): string[] {
  const { init, segment, fin, abort } = uploadTopics
  const offset = '{offset}' as unknown as number
  const size = '{size}' as unknown as number
  return [
    entry(init('{fileId}'), undefined, UploadInit),
    entry(segment('{fileId}', offset, '{sha256}'), undefined, undefined),
    `### \`${fin('{fileId}', size, '{sha256}')}\`\n\nNo payload.`,
    `### \`${abort('{fileId}')}\`\n\nNo payload.`
  ]
}
