import { Type } from 'class-transformer';
import { IsEmail, IsInt, IsNotEmpty, IsOptional, IsString, Length, Max, MaxLength, Min } from 'class-validator';

export class Credentials {
  @IsEmail()
  email: string;

  @Length(8, 128)
  password: string;
}

export class NewRoom {
  @IsOptional()
  @Length(1, 200)
  name?: string;
}

export class HistoryQuery {
  @IsOptional()
  @IsString()
  before?: string;

  @IsOptional()
  @IsString()
  after?: string;

  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(200)
  limit = 50;
}

export class ReadMark {
  @Length(26, 26)
  messageId: string;
}

export class JoinRoom {
  @IsString()
  @IsNotEmpty()
  roomId: string;
}

export class SendMessage extends JoinRoom {
  @Length(1, 128)
  clientMsgId: string;

  @Length(1, 64)
  type: string;

  @IsString()
  @IsNotEmpty()
  @MaxLength(10_000)
  content: string;
}
