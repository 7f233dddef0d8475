import { AppError } from '@fleetgate/kit'
import { isTimeZone } from '../schedule/schedule.js'
import type { SettingsStore } from './settingsStore.js'

export interface GeneralSettings {
  /** Times of schedules are meant in this zone (IANA). */
  managementServerTimeZone: string
  communicationServerTimeZone: string
  region: string
  /** Minutes of quiet after which a console may end its session. */
  adminTimeOut: number
  /** Who gets a mail of each alert. */
  alertMailTo: string[]
}

/** What a new job has where its creator says nothing, and how many clients work at the same time. */
export interface JobSettings {
  enable: boolean
  maxRetried: number
  retryWait: number
  /** 0: no limit. */
  maxConcurrentSession: number
}

/** What a new task has where its creator says nothing. */
export interface TaskSettings {
  enable: boolean
  priority: number
  disableValidation: boolean
}

export interface ClientSettings {
  /** Whether a machine that is seen for the first time may take part in jobs at once. */
  autoEnableNewClient: boolean
  /** Whether files may be asked of, and given to, machines that call themselves SERVER, where no person made them that. */
  selfDeclaredServers: boolean
}

export interface AllSettings {
  general: GeneralSettings
  jobs: JobSettings
  tasks: TaskSettings
  clients: ClientSettings
}
export type SettingsPart = keyof AllSettings

export interface Settings {
  get<P extends SettingsPart>(tenantId: string, part: P): Promise<AllSettings[P]>
  /** Changes what is given; answers the whole part. */
  change<P extends SettingsPart>(tenantId: string, part: P, change: Partial<AllSettings[P]>): Promise<AllSettings[P]>
  /** The zone in which schedules of a tenant are meant. */
  timeZone(tenantId: string): Promise<string>
}

export interface SettingsDeps {
  store: SettingsStore
  /** Of a tenant that has not decided. */
  autoEnable: boolean
  timeZone: string
  /** The zone of a tenant's schedules may have changed. */
  onTimeZone: (tenantId: string) => Promise<void>
}

export function createSettings({ store, autoEnable, timeZone, onTimeZone }: SettingsDeps): Settings {
  const defaults: AllSettings = {
    general: {
      managementServerTimeZone: timeZone,
      communicationServerTimeZone: 'UTC',
      region: '',
      adminTimeOut: 30,
      alertMailTo: []
    },
    jobs: { enable: true, maxRetried: 0, retryWait: 0, maxConcurrentSession: 0 },
    tasks: { enable: true, priority: 0, disableValidation: false },
    clients: { autoEnableNewClient: autoEnable, selfDeclaredServers: true }
  }

  async function get<P extends SettingsPart>(tenantId: string, part: P): Promise<AllSettings[P]> {
    return { ...defaults[part], ...(await store.find(tenantId))?.[part] }
  }

  return {
    get,

    async change(tenantId, part, change) {
      for (const [field, value] of Object.entries(change)) {
        if (field.endsWith('TimeZone')) checkTimeZone(field, String(value))
      }
      await store.update(tenantId, part, change)
      if ('managementServerTimeZone' in change) await onTimeZone(tenantId)
      return get(tenantId, part)
    },

    timeZone: async (tenantId) => (await get(tenantId, 'general')).managementServerTimeZone
  }
}

function checkTimeZone(field: string, zone: string): void {
  if (isTimeZone(zone)) return
  throw new AppError('invalid_input', `${field} is no time zone: write one like Europe/Berlin`, { field })
}
