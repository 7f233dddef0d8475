import { type Counters, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { type ProjectionType, type QueryFilter, Schema } from 'mongoose'
import type { EnrolledMachine, Enrolment } from './enrolment.js'

const schema = new Schema<Enrolment>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  enrolmentId: { type: Number, required: true },
  name: String,
  tokenHash: { type: String, required: true, unique: true },
  uses: { type: Number, required: true },
  left: { type: Number, required: true },
  replace: { type: Boolean, required: true },
  role: String,
  groupIds: { type: [Number], required: true },
  createdBy: String,
  creatorId: String,
  createdAt: { type: Number, required: true },
  expiresAt: { type: Number, required: true },
  revokedAt: Number,
  machines: [{ _id: false, mqttClientId: String, address: String, takenAt: Number, enrolledAt: Number }],
  forgetAt: { type: Date, required: true, index: { expireAfterSeconds: 0 } }
})
schema.index({ tenantId: 1, enrolmentId: -1 }, { unique: true })

/** `$elemMatch` leaves out every field that is not named. */
const whole = Object.fromEntries(Object.keys(schema.paths).map((field) => [field, 1]))
/** Of the machines of one enrolment lists show the latest. */
const shownMachines = 100

export type NewEnrolment = Omit<Enrolment, '_id' | 'enrolmentId' | 'machines'>

export interface EnrolmentStore {
  insert(enrolment: NewEnrolment): Promise<Enrolment>
  /** Newest first. */
  list(tenantId: string, page: Page): Promise<PageOf<Enrolment>>
  /** False where there is none; one that is revoked stays as it is. */
  revoke(tenantId: string, enrolmentId: number, now: number): Promise<boolean>
  /** Of its machines it shows this one, if it is among them. */
  findFor(tokenHash: string, mqttClientId: string): Promise<Enrolment | undefined>
  /** Counts a machine in; false where no use is left, the time is over, or the machine is in already. */
  takeSeat(id: string, machine: EnrolledMachine, now: number): Promise<boolean>
  /** Undoes that for a machine that could not be let in. */
  giveSeatBack(id: string, mqttClientId: string): Promise<void>
  finish(id: string, mqttClientId: string, now: number): Promise<void>
}

export function createEnrolmentStore(store: Store, counters: Counters): EnrolmentStore {
  const model = store.model<Enrolment>('enrolments', schema)
  const shown = { tokenHash: 0, machines: { $slice: -shownMachines } } as ProjectionType<Enrolment>
  const openSeat = (_id: string, mqttClientId: string) =>
    ({ _id, machines: { $elemMatch: { mqttClientId, enrolledAt: { $exists: false } } } }) as QueryFilter<Enrolment>

  return {
    async insert(draft) {
      const enrolmentId = await counters.next(draft.tenantId, 'enrolment')
      const enrolment = { _id: `${draft.tenantId}:${enrolmentId}`, enrolmentId, machines: [], ...draft }
      await model.create(enrolment)
      return enrolment
    },

    list: (tenantId, page) =>
      pageOf(model.find<Enrolment>({ tenantId }, shown).sort({ enrolmentId: -1 }), page) as Promise<PageOf<Enrolment>>,

    async revoke(tenantId, enrolmentId, now) {
      await model.updateOne({ tenantId, enrolmentId, revokedAt: { $exists: false } }, { $set: { revokedAt: now } })
      return (await model.exists({ tenantId, enrolmentId })) !== null
    },

    async findFor(tokenHash, mqttClientId) {
      const only = { ...whole, machines: { $elemMatch: { mqttClientId } } } as ProjectionType<Enrolment>
      const found = await model.findOne({ tokenHash }, only).lean<Enrolment>()
      return found ? { ...found, machines: found.machines ?? [] } : undefined
    },

    async takeSeat(_id, machine, now) {
      const filter = {
        _id,
        left: { $gt: 0 },
        expiresAt: { $gt: now },
        revokedAt: { $exists: false },
        'machines.mqttClientId': { $ne: machine.mqttClientId }
      } as QueryFilter<Enrolment>
      const { modifiedCount } = await model.updateOne(filter, { $inc: { left: -1 }, $push: { machines: machine } })
      return modifiedCount === 1
    },

    async giveSeatBack(_id, mqttClientId) {
      const back = { $inc: { left: 1 }, $pull: { machines: { mqttClientId } } }
      await model.updateOne(openSeat(_id, mqttClientId), back)
    },

    async finish(_id, mqttClientId, now) {
      await model.updateOne(openSeat(_id, mqttClientId), { $set: { 'machines.$.enrolledAt': now } })
    }
  }
}
