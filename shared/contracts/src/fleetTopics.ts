/** MQTT topics of fleet machines. Payloads: `fleetMessages.ts`. */
export const downChannels = ['execution', 'stage', 'receive', 'offer-end', 'file-info', 'block'] as const
export type DownChannel = (typeof downChannels)[number]

export const upChannels = ['hello', 'report', 'staged', 'offer', 'received', 'file-query', 'blocks'] as const
export type UpChannel = (typeof upChannels)[number]

/** Up channels that the broker side answers itself; all others go to the uplink stream. */
export const fileChannels: readonly UpChannel[] = ['file-query', 'blocks']

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

/** One block of a file on its way to a machine; the payload is the raw bytes. */
export function blockTopic(clientId: string, block: { sha256: string; index: number; blockSha256: string }): string {
  return `fleet/${clientId}/down/block/${block.sha256}/${block.index}/${block.blockSha256}`
}

/** Reads a block's facts from its topic, or answers nothing for any other topic. */
export function parseBlockTopic(
  clientId: string,
  topic: string
): { sha256: string; index: number; blockSha256: string } | undefined {
  const prefix = `fleet/${clientId}/down/block/`
  if (!topic.startsWith(prefix)) return undefined
  const [sha256, index, blockSha256, ...rest] = topic.slice(prefix.length).split('/')
  if (!sha256 || !index || !blockSha256 || rest.length > 0 || !/^\d{1,9}$/.test(index)) return undefined
  return { sha256, index: Number(index), blockSha256 }
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
