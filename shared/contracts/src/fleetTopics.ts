/** MQTT topics of fleet machines. Payloads: `fleetMessages.ts`. */
export const downChannels = ['execution', 'stop', 'stage', 'receive', 'offer-end', 'file-info', 'block'] as const
export type DownChannel = (typeof downChannels)[number]

export const upChannels = [
  'hello',
  'report',
  'staged',
  'offer',
  'received',
  'file-query',
  'blocks',
  'cast-join'
] as const
export type UpChannel = (typeof upChannels)[number]

/** Up channels that the broker side answers itself; all others go to the uplink stream. */
export const fileChannels: readonly UpChannel[] = ['file-query', 'blocks', 'cast-join']

export function downTopic(clientId: string, channel: DownChannel): string {
  return `fleet/${clientId}/down/${channel}`
}

/** What an agent subscribes to: everything sent down to it. */
export function downFilter(clientId: string): string {
  return `fleet/${clientId}/down/#`
}

export function upTopic(clientId: string, channel: UpChannel): string {
  return `fleet/${clientId}/up/${channel}`
}

/** One block of a file on its way; both hashes are of the plain bytes. */
export interface Block {
  sha256: string
  index: number
  blockSha256: string
  /** The payload is compressed; else it is the raw bytes. */
  isGzip?: boolean
}

/** To one machine. */
export function blockTopic(clientId: string, block: Block): string {
  return blockBelow(`fleet/${clientId}`, block)
}

/** Of a cast: to all machines that have subscribed to `castFilter`. */
export function castBlockTopic(castId: string, block: Block): string {
  return blockBelow(`${castPrefix}${castId}`, block)
}

function blockBelow(place: string, { sha256, index, blockSha256, isGzip }: Block): string {
  return `${place}/down/block/${sha256}/${index}/${blockSha256}${isGzip ? '/gzip' : ''}`
}

/** Reads a block's facts from its topic, to this machine or of a cast; answers nothing for any other topic. */
export function parseBlockTopic(clientId: string, topic: string): Block | undefined {
  const cast = parseCastTopic(topic)
  const prefix = `fleet/${clientId}/down/`
  const place = cast ? cast.rest : topic.startsWith(prefix) ? topic.slice(prefix.length) : ''
  const [block, sha256, index, blockSha256, coding, ...more] = place.split('/')
  if (block !== 'block' || !sha256 || !index || !blockSha256 || !/^\d{1,9}$/.test(index)) return undefined
  if ((coding !== undefined && coding !== 'gzip') || more.length > 0) return undefined
  return { sha256, index: Number(index), blockSha256, ...(coding ? { isGzip: true } : {}) }
}

/** Below it stands what goes to the members of a group, under the group's name. */
export const castPrefix = 'fleet/group/'

/** What a machine subscribes to while it takes part in a cast. */
export function castFilter(castId: string): string {
  return `${castPrefix}${castId}/down/#`
}

/** Takes `fleet/group/{castId}/down/{rest}` apart; a filter too. */
export function parseCastTopic(topic: string): { castId: string; rest: string } | undefined {
  const [, castId, rest] = /^fleet\/group\/([^/]+)\/down\/(.+)$/s.exec(topic) ?? []
  return castId === undefined || rest === undefined ? undefined : { castId, rest }
}

/** Reads `fleet/{clientId}/up/{channel}` of a known client, or answers nothing. */
export function parseUpTopic(clientId: string, topic: string): UpChannel | undefined {
  const prefix = `fleet/${clientId}/up/`
  if (!topic.startsWith(prefix)) return undefined
  const channel = topic.slice(prefix.length)
  return upChannels.find((known) => known === channel)
}

/** Upload topics, as EMQX users know them (EIP-0021): QoS 1, acknowledged when stored. */
export const uploadTopics = {
  init: (fileId: string) => `$file/${fileId}/init`,
  segment: (fileId: string, offset: number, sha256: string) => `$file/${fileId}/${offset}/${sha256}`,
  fin: (fileId: string, size: number, sha256: string) => `$file/${fileId}/fin/${size}/${sha256}`,
  abort: (fileId: string) => `$file/${fileId}/abort`
}

/** Bytes of a block, in uploads and downloads alike: well under every broker's packet limit. */
export const blockSize = 256 * 1024
