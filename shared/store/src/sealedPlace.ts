import type { Model } from 'mongoose'

export interface SealedText {
  /** Where it stands in the document, dotted. */
  path: string
  sealed: string
  /** What it was sealed with. */
  context: string
}

export interface SealedDoc {
  id: unknown
  /** Those alone that an older key sealed. */
  texts: SealedText[]
}

/** A collection whose documents hold sealed texts. */
export interface SealedPlace {
  name: string
  /** Documents with texts that match; only while keys are changed, so no index bears with it for the rest of its time. */
  find(older: RegExp): AsyncIterable<SealedDoc>
  /** One write; false where one of the texts has changed since. */
  exchange(id: unknown, texts: { path: string; before: string; after: string }[]): Promise<boolean>
}

export interface SealedTexts<T> {
  /** Paths of the sealed texts, those within arrays without their numbers. */
  paths: string[]
  textsOf(doc: T): SealedText[]
}

export function sealedPlace<T>(model: Model<T>, { paths, textsOf }: SealedTexts<T>): SealedPlace {
  const { collection } = model
  return {
    name: collection.name,
    async *find(older) {
      const found = collection.find({ $or: paths.map((path) => ({ [path]: older })) } as never)
      for await (const doc of found) {
        const texts = textsOf(doc as T).filter(({ sealed }) => older.test(sealed))
        if (texts.length > 0) yield { id: doc._id, texts }
      }
    },
    async exchange(id, texts) {
      const before = Object.fromEntries(texts.map(({ path, before }) => [path, before]))
      const after = Object.fromEntries(texts.map(({ path, after }) => [path, after]))
      return (await collection.updateOne({ _id: id, ...before } as never, { $set: after })).matchedCount === 1
    }
  }
}
