import { Transform, Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, IsUUID, Matches, MaxLength, Min } from 'class-validator';

export class OpenRoom {
  /** A number or a text: ids of either kind are in use. */
  @Transform(({ value }) => (typeof value === 'number' ? String(value) : value))
  @IsString()
  storeId: string;
}

export class HistoryQuery {
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  page = 1;

  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  limit = 50;

  @IsOptional()
  @Matches(/^\d{1,18}$/)
  before?: string;
}

export class RoomEvent {
  @IsUUID()
  roomId: string;
}

export class SendMessage extends RoomEvent {
  /** 1 to 1,000 characters, not bytes, and not only white space. */
  @Matches(/^.{1,1000}$/su)
  @Matches(/\S/)
  text: string;

  @IsOptional()
  @IsString()
  @MaxLength(128)
  clientMsgId?: string;
}
