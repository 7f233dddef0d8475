import { type Log, type listNames, maxPageSize, type Range, type ResourceType, type Static } from '@fleetgate/kit'

export type NamesQuestion = Static<typeof listNames.request>
export type NamesAnswer = Static<typeof listNames.reply>
export type Named = NamesAnswer['items'][number]

export interface NamesOptions {
  ask: (question: NamesQuestion) => Promise<NamesAnswer>
  log: Log
}

export interface Selection {
  tenantId: string
  type: ResourceType
  keyword: string
  /** Those in `ids` or below `parentIds`. */
  ids: string[]
  parentIds?: string[]
}

export interface NamedPage {
  items: Named[]
  total: number
  /** Where the page really begins: behind the end it is the first one, as in the real system. */
  offset: number
}

export type Names = ReturnType<typeof createNames>

/** Names of what other services own: one look-up per list, and a second one only behind its end. */
export function createNames({ ask, log }: NamesOptions) {
  async function answer(question: NamesQuestion): Promise<NamedPage | undefined> {
    try {
      let { offset } = question
      let reply = await ask(question)
      if (offset > 0 && reply.items.length === 0 && reply.total > 0) {
        offset = 0
        reply = await ask({ ...question, offset })
      }
      return reply.isKnown ? { items: reply.items, total: reply.total, offset } : undefined
    } catch (err) {
      log.warn({ err, type: question.type }, 'names are not to be had, answering ids')
      return undefined
    }
  }

  return {
    /** Where nobody knows the names: the ids as they are. */
    async among({ ids, parentIds = [], keyword, ...of }: Selection, range: Range): Promise<NamedPage> {
      if (ids.length + parentIds.length === 0) return { items: [], total: 0, offset: 0 }
      const question = { ...of, ids, parentIds, ...textOf(keyword), ...range }
      return (await answer(question)) ?? pageOfIds(ids, keyword, range)
    },

    /** Where nobody knows the names nothing can be said of what is not named: empty. */
    async except({ ids, parentIds = [], keyword, ...of }: Selection, range: Range): Promise<NamedPage> {
      const question = { ...of, exceptIds: ids, exceptParentIds: parentIds, ...textOf(keyword), ...range }
      return (await answer(question)) ?? { items: [], total: 0, offset: 0 }
    },

    /** Above a device stands its integration; nothing where that is not known. */
    async parentOf(tenantId: string, type: ResourceType, id: string): Promise<string | undefined> {
      const found = await answer({ tenantId, type, ids: [id], offset: 0, limit: 1 })
      return found?.items[0]?.parentId
    }
  }
}

function pageOfIds(ids: string[], keyword: string, { offset, limit }: Range): NamedPage {
  const matching = ids.filter((id) => id.toLowerCase().includes(keyword.toLowerCase()))
  const start = offset < matching.length ? offset : 0
  const items = matching.slice(start, start + Math.min(limit, maxPageSize)).map((id) => ({ id, name: '' }))
  return { items, total: matching.length, offset: start }
}

function textOf(keyword: string) {
  return keyword ? { keyword } : {}
}
